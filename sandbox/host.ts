import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { webcrypto } from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import type { SandboxHost, StateDocument } from "./contracts.ts";

/** `localhost` certificates outlive any demo; the root is per state folder and trusted by nobody else. */
const TLS_VALIDITY_DAYS = 365;
const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

interface TlsFiles {
  caCertificate: string;
  key: string;
  cert: string;
}

/**
 * Opens (or creates) the state folder of one sandbox.
 * @param stateDir absolute path; created with mode 0700.
 * @throws when another process holds the same folder.
 */
export async function openSandboxHost(stateDir: string): Promise<SandboxHost & { close(): void }> {
  fs.mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const release = lock(path.join(stateDir, "lock"));
  const logStream = fs.createWriteStream(path.join(stateDir, "requests.log"), { flags: "a", mode: 0o600 });
  const tls = await tlsIdentity(stateDir);
  const ports = openDocument<Record<string, number>>(path.join(stateDir, "ports.json"), () => ({}));
  const pending = new Map<string, Promise<number>>();

  return {
    stateDir,
    caCertificate: tls.caCertificate,
    tls: { key: tls.key, cert: tls.cert },
    port(name) {
      let port = pending.get(name);
      if (!port) {
        port = (async () => {
          const known = ports.value[name];
          if (known !== undefined) return known;
          const taken = new Set(Object.values(ports.value));
          let free = await freePort();
          while (taken.has(free)) free = await freePort();
          ports.value[name] = free;
          ports.save();
          return free;
        })();
        pending.set(name, port);
      }
      return port;
    },
    document: (name, initial) => openDocument(path.join(stateDir, `${name}.json`), initial),
    log(service, line) {
      logStream.write(`${new Date().toISOString()} ${service} ${line}\n`);
    },
    close() {
      logStream.end();
      release();
    },
  };
}

/** A JSON file that is never seen half-written. */
export function openDocument<T extends object>(file: string, initial: () => T): StateDocument<T> {
  const value: T = fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, "utf8")) as T) : initial();
  return {
    value,
    save() {
      fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
      const temporary = `${file}.${process.pid}.tmp`;
      const handle = fs.openSync(temporary, "w", 0o600);
      try {
        fs.writeSync(handle, JSON.stringify(value));
        fs.fsyncSync(handle);
      } finally {
        fs.closeSync(handle);
      }
      fs.renameSync(temporary, file);
    },
  };
}

function lock(file: string): () => void {
  for (;;) {
    try {
      fs.writeFileSync(file, String(process.pid), { flag: "wx", mode: 0o600 });
      return () => fs.rmSync(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const owner = Number(fs.readFileSync(file, "utf8"));
      if (owner && owner !== process.pid && isAlive(owner)) {
        throw new Error(
          `A sandbox (process ${owner}) already uses ${path.dirname(file)}; stop it or choose another folder.`,
          {
            cause: error,
          },
        );
      }
      fs.rmSync(file, { force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as net.AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

async function tlsIdentity(stateDir: string): Promise<TlsFiles> {
  const stored = openDocument<Partial<TlsFiles>>(path.join(stateDir, "tls.json"), () => ({}));
  if (!stored.value.cert) {
    Object.assign(stored.value, await issueTls());
    stored.save();
  }
  const tls = stored.value as TlsFiles;
  fs.writeFileSync(path.join(stateDir, "ca.pem"), tls.caCertificate, { mode: 0o644 });
  return tls;
}

async function issueTls(): Promise<TlsFiles> {
  x509.cryptoProvider.set(webcrypto as Crypto);
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(notBefore.getTime() + TLS_VALIDITY_DAYS * 86_400_000);
  const caKeys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ["sign", "verify"]);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=Clean Room Sandbox Root",
    keys: caKeys as CryptoKeyPair,
    notBefore,
    notAfter,
    signingAlgorithm: KEY_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey as CryptoKey),
    ],
  });
  const serverKeys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ["sign", "verify"]);
  const server = await x509.X509CertificateGenerator.create({
    subject: "CN=localhost",
    issuer: ca.subject,
    publicKey: serverKeys.publicKey as CryptoKey,
    signingKey: caKeys.privateKey as CryptoKey,
    notBefore,
    notAfter,
    signingAlgorithm: KEY_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: "dns", value: "localhost" },
        { type: "ip", value: "127.0.0.1" },
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey as CryptoKey),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", serverKeys.privateKey));
  return {
    caCertificate: ca.toString("pem"),
    key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY"),
    cert: server.toString("pem"),
  };
}

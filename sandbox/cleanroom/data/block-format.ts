import crypto from "node:crypto";
import type { DataStore } from "./store.ts";

/**
 * The format of client-side encrypted files. For a chunk size B (16 MiB unless agreed otherwise) and a 32 byte key:
 * `chunk_0 ‖ … ‖ chunk_{n-1} ‖ padding`, chunk = `nonce[12] ‖ AES-256-GCM ciphertext[B] ‖ tag[16]`, the last chunk's plain
 * text filled with zeros up to B, padding = number of those zeros, 8 bytes big-endian. An empty file is the 8 bytes alone.
 * Chunks carry no index: their order is not protected by the format.
 */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const TRAILER_BYTES = 8;
const DEFAULT_CHUNK_BYTES = 16 * 1024 * 1024;

export function encryptBlocks(plain: Buffer, key: Buffer, chunkBytes = DEFAULT_CHUNK_BYTES): Buffer {
  const parts: Buffer[] = [];
  for (let offset = 0; offset < plain.length; offset += chunkBytes) {
    const chunk = Buffer.alloc(chunkBytes);
    plain.copy(chunk, 0, offset);
    const nonce = crypto.randomBytes(NONCE_BYTES);
    const cipher = crypto.createCipheriv("aes-256-gcm", key, nonce);
    parts.push(nonce, cipher.update(chunk), cipher.final(), cipher.getAuthTag());
  }
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeBigUInt64BE(BigInt((chunkBytes - (plain.length % chunkBytes)) % chunkBytes));
  return Buffer.concat([...parts, trailer]);
}

/** @throws when the key is not the right one, or the file is cut or changed. */
export function decryptBlocks(file: Buffer, key: Buffer, chunkBytes = DEFAULT_CHUNK_BYTES): Buffer {
  const sealedBytes = NONCE_BYTES + chunkBytes + TAG_BYTES;
  const count = (file.length - TRAILER_BYTES) / sealedBytes;
  if (!Number.isInteger(count) || count < 0)
    throw new Error(`A client-side encrypted file cannot be ${file.length} bytes long.`);
  const padding = file.readBigUInt64BE(file.length - TRAILER_BYTES);
  if (padding >= BigInt(chunkBytes) || (count === 0 && padding !== 0n)) {
    throw new Error("The trailer of the client-side encrypted file is not a padding length.");
  }
  const chunks = Array.from({ length: count }, (_, index) =>
    openChunk(file.subarray(index * sealedBytes, (index + 1) * sealedBytes), key),
  );
  return Buffer.concat(chunks).subarray(0, count * chunkBytes - Number(padding));
}

function openChunk(sealed: Buffer, key: Buffer): Buffer {
  const decipher = crypto.createDecipheriv("aes-256-gcm", key, sealed.subarray(0, NONCE_BYTES));
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES)), decipher.final()]);
  } catch (error) {
    throw new Error("A client-side encrypted file does not open with the dataset's key.", { cause: error });
  }
}

/** A store whose files are client-side encrypted, seen in plain text. */
export function decryptingStore(store: DataStore, key: Buffer): DataStore {
  return {
    list: (folder) => store.list(folder),
    read: async (path) => decryptBlocks(await store.read(path), key),
    write: (path, content) => store.write(path, encryptBlocks(content, key)),
  };
}

import { requireAttestedCaller, requireAttestedData, wrap } from "../attestation.ts";
import { CcfError, ok, type CcfReply } from "../errors.ts";
import { secrets } from "../tables.ts";
import { idOf, param, read, write, type AppContext, type AppRoute } from "./route.ts";

const ITEM = "/contracts/{contractId}/secrets/{secretName}";
const MAX_VALUE_LENGTH = 25_600;

export const secretRoutes: readonly AppRoute[] = [
  read("GET", "/contracts/{contractId}/secrets", "MUJ", (context) =>
    ok({ value: context.tx.keys(secrets(param(context, "contractId"))).map((secretId) => ({ secretId })) }),
  ),
  write("PUT", ITEM, "MUJN", putSecret),
  read("POST", ITEM, "", getSecret),
];

function putSecret(context: AppContext): CcfReply {
  const contractId = param(context, "contractId");
  const isCleanRoom = context.caller.policy === "no_auth";
  const { value } = isCleanRoom ? requireAttestedData(context, contractId, context.body()).data : context.body();
  const owner = isCleanRoom ? "cleanroom" : idOf(context);
  if (!value) throw new CcfError(400, "ValueMissing", "Value must be specified.");
  if (typeof value !== "string") throw new TypeError("value is not a string");
  if (value.length > MAX_VALUE_LENGTH)
    throw new CcfError(400, "ValueTooLarge", `Length of the value should be less than ${MAX_VALUE_LENGTH} characters.`);
  const secretId = `${owner}_${param(context, "secretName")}`;
  context.tx.put(secrets(contractId), secretId, { value });
  return ok({ secretId });
}

/** The path parameter is called secretName, but it is the full secret id. */
function getSecret(context: AppContext): CcfReply {
  const contractId = param(context, "contractId");
  const secretId = param(context, "secretName");
  const publicKey = requireAttestedCaller(context, contractId, context.body(), [
    { delegateType: "secrets", delegateId: secretId },
  ]);
  const secret = context.tx.get(secrets(contractId), secretId);
  if (!secret) throw new CcfError(404, "SecretNotFound", "A secret with the specified id was not found.");
  return ok({ value: wrap(publicKey, secret.value) });
}

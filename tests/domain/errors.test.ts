import { UserError } from "../../domain/errors.ts";

test("a user's mistake is shown as one message, without a stack trace", () => {
  const cause = new Error("what lies beneath");
  const error = new UserError("cleanroom:email: expected an e-mail address", { cause });
  expect(error).toBeInstanceOf(Error);
  expect(error.name).toBe("UserError");
  expect(error.stack).toBe("cleanroom:email: expected an e-mail address");
  expect(error.cause).toBe(cause);
});

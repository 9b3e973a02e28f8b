import { provider } from "../../dynamic-providers/deploymentInformation.ts";
import { setDeploymentInfo } from "../../domain/governance/actions.ts";
import { Resource } from "../support/engine.ts";
import { CONTRACT, Lab } from "../support/lab.ts";

const URL = "https://clean-room.example";

let lab: Lab;
let inputs: Record<string, unknown>;
beforeAll(async () => {
  jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
  inputs = { consortium: lab.access, signer: lab.operator, contractId: CONTRACT, url: URL };
});
afterAll(() => lab?.stop());

const resource = (): Resource => new Resource(provider, lab.config("operator"), ["signer"]);
const onLedger = async (): Promise<unknown> => (await lab.member().cgs.contracts.deploymentInfo(CONTRACT)).data;

test("where the clean room is: agreed on, adopted, changed, mended, left behind", async () => {
  const information = resource();
  expect(await information.up(inputs)).toBe("create");
  expect(await onLedger()).toEqual({ url: URL });
  expect(information.outputs).toMatchObject({ url: URL, state: "Accepted" });
  expect(await information.up(inputs)).toBe("same");
  expect(await information.refresh()).toBe("same");
  expect(await information.upAfterCrash(inputs)).toBe("create");

  const moved = { ...inputs, url: "https://moved.example" };
  expect(await information.up(moved)).toBe("update");
  expect(await onLedger()).toEqual({ url: "https://moved.example" });

  await lab.agree(setDeploymentInfo(CONTRACT, { url: "https://mallory.example" }));
  expect(await information.refresh()).toBe("drifted");
  expect(information.outputs).toMatchObject({ url: "https://mallory.example" });
  expect(await information.up(moved)).toBe("update");
  expect(await onLedger()).toEqual({ url: "https://moved.example" });

  await lab.agree(setDeploymentInfo(CONTRACT, {}));
  expect(await information.refresh()).toBe("gone");
  expect(await information.up(moved)).toBe("create");

  expect(await information.preview({ ...moved, contractId: "another" })).toBe("replace");
  await information.destroy();
  await information.destroy();
  expect(await onLedger()).toEqual({ url: "https://moved.example" });
});

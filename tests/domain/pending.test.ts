import * as pending from "../../domain/pending.ts";

test("everything a stack can wait for says what is missing, who acts, and with which command", () => {
  const all = [
    pending.pendingHandoff("northwind", "operator"),
    pending.pendingSource("operator", "northwind"),
    pending.pendingInvitation("northwind", "operator"),
    pending.pendingAcceptance("northwind"),
    pending.pendingUser("northwind", "operator"),
    pending.pendingDataset("mentions", "northwind", "input"),
    pending.pendingQuery("woodgrove/mentions", "woodgrove"),
    pending.pendingVote("first", "woodgrove/mentions", "northwind"),
  ];
  expect(all.map(({ who }) => who)).toEqual([
    "operator",
    "operator",
    "operator",
    "northwind",
    "operator",
    "northwind",
    "woodgrove",
    "northwind",
  ]);
  for (const { what, who, command } of all) {
    expect(what.length).toBeGreaterThan(10);
    expect(command).toMatch(new RegExp(`--stack ${who}$`));
  }
  expect(pending.pendingVote("first", "woodgrove/mentions", "northwind")).toEqual({
    what: "run first waits for northwind to approve query woodgrove/mentions",
    who: "northwind",
    command:
      "pulumi config set --path 'cleanroom:approvals[\"woodgrove/mentions\"]' <digest it has reviewed> --stack northwind && pulumi up --stack northwind",
  });
});

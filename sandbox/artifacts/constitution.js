// Constitution of the Clean Room Governance Service, as the sandbox knows it.
//
// This text stands in for the constitution that CGS publishes (validate, resolve and apply). The sandbox does not run
// it: its rules are built into the sandbox (resolution by unanimity of the normal members, vetoes, operator changes,
// the CGS actions) and take effect when exactly this text is accepted by a `set_constitution` proposal.
//
// Against a real CCF network configure the published constitution instead; this one refuses to decide anything.

export function validate() {
  return { valid: false, description: "This constitution is understood by the sandbox only." };
}

export function resolve() {
  return "Open";
}

export function apply() {
  throw new Error("This constitution is understood by the sandbox only.");
}

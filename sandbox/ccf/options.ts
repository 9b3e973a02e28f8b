/** Names of the CGS-wide runtime options. */
export const CGS_OPTIONS = [
  "autoapprove-constitution-proposal",
  "autoapprove-jsapp-proposal",
  "autoapprove-deploymentspec-proposal",
  "autoapprove-deploymentinfo-proposal",
  "autoapprove-cleanroompolicy-proposal",
] as const;

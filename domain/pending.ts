/** Something a stack waits for: what is missing, who has to act, and the command that does it. */
export interface Pending {
  readonly what: string;
  readonly who: string;
  readonly command: string;
}

export const pendingHandoff = (self: string, other: string): Pending => ({
  what: `${self} knows nothing of ${other} yet`,
  who: other,
  command: `pulumi up --stack ${other}`,
});

export const pendingSource = (self: string, other: string): Pending => ({
  what: `${self} has no way to hear of ${other}: cleanroom:collaborators names neither its stack nor its handoff`,
  who: self,
  command: `pulumi config set --path 'cleanroom:collaborators[N].handoff' <file> --stack ${self}`,
});

export const pendingInvitation = (self: string, operator: string): Pending => ({
  what: `${operator} has not invited ${self}`,
  who: operator,
  command: `pulumi up --stack ${operator}`,
});

export const pendingAcceptance = (collaborator: string): Pending => ({
  what: `${collaborator} has not accepted its invitation`,
  who: collaborator,
  command: `pulumi up --stack ${collaborator}`,
});

export const pendingUser = (self: string, operator: string): Pending => ({
  what: `${operator} has not made ${self} a user of the consortium`,
  who: operator,
  command: `pulumi up --stack ${operator}`,
});

export const pendingDataset = (query: string, owner: string, dataset: string): Pending => ({
  what: `query ${query} reads ${owner}/${dataset}, which is not published`,
  who: owner,
  command: `pulumi up --stack ${owner}`,
});

export const pendingQuery = (query: string, author: string): Pending => ({
  what: `an approval is configured for ${query}, which is not published`,
  who: author,
  command: `pulumi up --stack ${author}`,
});

export const pendingVote = (run: string, query: string, approver: string): Pending => ({
  what: `run ${run} waits for ${approver} to approve query ${query}`,
  who: approver,
  command: `pulumi config set --path 'cleanroom:approvals["${query}"]' <digest it has reviewed> --stack ${approver} && pulumi up --stack ${approver}`,
});

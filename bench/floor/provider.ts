interface Inputs {
  readonly value: string;
}

export function diff(_id: string, olds: Inputs, news: Inputs): { changes: boolean } {
  return { changes: olds.value !== news.value };
}

export function create(inputs: Inputs): { id: string; outs: Inputs } {
  return { id: "trivial", outs: inputs };
}

export function read(id: string, properties: Inputs): { id: string; props: Inputs } {
  return { id, props: properties };
}

export function update(_id: string, _olds: Inputs, news: Inputs): { outs: Inputs } {
  return { outs: news };
}

function remove(): void {}
export { remove as delete };

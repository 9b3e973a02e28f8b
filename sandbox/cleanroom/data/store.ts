/** Where the files of a dataset are. Paths are relative to the dataset, with `/`. */
export interface DataStore {
  /** Paths of all files below a folder ("" for all), in order. */
  list(folder: string): Promise<string[]>;
  read(path: string): Promise<Buffer>;
  /** Creates or replaces. */
  write(path: string, content: Buffer): Promise<void>;
}

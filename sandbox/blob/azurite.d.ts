/** The parts of Azurite 3.37.0 that are used; the package ships no types and no entry point of its own. */
declare module "azurite/dist/src/blob/BlobConfiguration.js" {
  const configuration: unknown;
  export default configuration;
}
declare module "azurite/dist/src/blob/BlobServer.js" {
  const server: unknown;
  export default server;
}

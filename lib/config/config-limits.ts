/** What bounds the work that a configuration file can ask for. */
export const CONFIG_LIMITS = Object.freeze({
  fileBytes: 1_048_576,
  /** Arrays and objects within each other. */
  depth: 100,
  /** Files that import each other, one within the other. */
  importDepth: 16,
  /** Files read for one configuration. */
  files: 100,
  /** Values of one configuration, each counted as often as it is referred to. */
  values: 100_000,
  /** Characters of one text after its references have been replaced. */
  textLength: 1_048_576,
  /** Problems that are told; of the others, how many they are. */
  problems: 100,
});

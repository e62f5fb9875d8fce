internal import Foundation
internal import ModelFiles
internal import Models

/// The files that lie beside a safetensors file, since it cannot carry them itself: configuration, tokenizer, pooling.
enum Companions {
  /// The names in a folder that these files can have.
  static let names: Set<String> = [
    "config.json", "quantize_config.json", "generation_config.json", "modules.json", "1_Pooling",
    "tokenizer.json", "tokenizer.model",
    "vocab.txt", "tokenizer.bin", "tokenizer_config.json", "special_tokens_map.json",
  ]

  /// Writes them into `folder`, each under the name that other programs look for.
  ///
  /// - Returns: what was written, by names relative to the folder, with sizes.
  static func write(
    of checkpoint: Checkpoint, into folder: String, packed: PackedLayout? = nil
  ) throws -> [(name: String, bytes: Int)] {
    try write(try checkpoint.safetensorsContents(layout: packed), into: folder)
  }

  /// Writes the files of `contents` into `folder`.
  static func write(_ contents: SafetensorsContents, into folder: String) throws -> [(
    name: String, bytes: Int
  )] {
    var files = contents.files
    if let configuration = contents.configuration { files.append(("config.json", Array(configuration.utf8))) }
    var written: [(name: String, bytes: Int)] = []
    for file in files.sorted(by: { $0.path < $1.path }) {
      let path = folder + "/" + file.path
      let parent = (path as NSString).deletingLastPathComponent
      do {
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
      } catch {
        throw JobError(.inputOutput, "\(parent): cannot make the folder")
      }
      try AtomicFile.write(file.contents, to: path)
      written.append((file.path, file.contents.count))
    }
    return written
  }
}

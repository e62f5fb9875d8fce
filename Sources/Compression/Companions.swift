internal import Foundation
internal import ModelFiles
internal import Models

/// The files that lie beside a safetensors file, since it cannot carry them itself: configuration, tokenizer, pooling.
enum Companions {
  /// Writes them into `folder`, each under the name that other programs look for.
  ///
  /// - Returns: what was written, with sizes.
  static func write(of checkpoint: Checkpoint, into folder: String) throws -> [(path: String, bytes: Int)] {
    let contents = try checkpoint.safetensorsContents()
    var files = contents.files
    if let configuration = contents.configuration { files.append(("config.json", Array(configuration.utf8))) }
    var written: [(path: String, bytes: Int)] = []
    for file in files.sorted(by: { $0.path < $1.path }) {
      let path = folder + "/" + file.path
      let parent = (path as NSString).deletingLastPathComponent
      do {
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
      } catch {
        throw JobError(.inputOutput, "\(parent): cannot make the folder")
      }
      try AtomicFile.write(file.contents, to: path)
      written.append((path, file.contents.count))
    }
    return written
  }
}

import Foundation
import Testing

/// The reference model in every container, made once by the program itself.
enum Samples {
  private static let made: Result<Scratch, any Error> = Result {
    let scratch = try Scratch()
    // A static is never let go: without this, every test run would leave its samples behind.
    atexit { if case .success(let scratch) = Samples.made { scratch.remove() } }
    for arguments in [
      ["-o", "model.gguf"], ["-o", "folder", "--format", "safetensors"],
      ["-o", "model.gguf.zst", "--pack", "--level", "1"],
      ["-o", "int8.gguf.zst", "--pack", "--level", "1", "--to", "int8"],
    ] {
      let outcome = try Program.run(["convert", Reference.folder] + arguments, in: scratch.path)
      guard outcome.status == 0 else { throw Failure(description: outcome.errors) }
    }
    return scratch
  }

  struct Failure: Error, CustomStringConvertible { var description: String }

  static func path(_ name: String) throws -> String { try made.get().path + "/" + name }
  static func bytes(_ name: String) throws -> [UInt8] { try made.get().read(name) }

  static var gguf: String { get throws { try path("model.gguf") } }
  static var safetensorsFolder: String { get throws { try path("folder") } }
  static var artifact: String { get throws { try path("model.gguf.zst") } }
  static var int8Artifact: String { get throws { try path("int8.gguf.zst") } }

  /// Options of a run that is over soon.
  static let quick = ["--no-latency", "--eval-tokens", "512", "--level", "1"]
}

extension Scratch {
  /// The safetensors folder as `name`.
  func copyFolder(to name: String) throws { try copy(try Samples.safetensorsFolder, to: name) }

  /// Replaces `old` by `new` in a text file.
  func edit(_ name: String, _ old: String, _ new: String) throws {
    let text = String(decoding: try read(name), as: UTF8.self)
    try #require(text.contains(old), "\(name) has no \(old)")
    try write(Array(text.replacingOccurrences(of: old, with: new).utf8), to: name)
  }
}

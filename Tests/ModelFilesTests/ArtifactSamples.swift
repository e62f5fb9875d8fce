import Foundation
import ModelFiles
import TensorCore

/// Small models and places for tests of artifacts.
enum ArtifactSamples {
  /// Numbers like weights, the same for the same seed.
  static func weights(_ count: Int, seed: UInt64) -> ByteRegion {
    var generator = SeededGenerator(seed: seed)
    let values = (0..<count).map { _ in Float.random(in: -1...1, using: &generator) }
    return values.withUnsafeBytes { bytes in ByteRegion(count: bytes.count) { $0.copyMemory(from: bytes) } }
  }

  /// An F32 tensor; `lazily` makes its bytes anew at each load.
  static func tensor(_ name: String, _ shape: [Int], seed: UInt64, lazily: Bool = false) -> StoredTensor {
    let region = weights(shape.reduce(1, *), seed: seed)
    let bytes = lazily ? TensorBytes(count: region.count) { region } : TensorBytes(region)
    return StoredTensor(name: name, shape: shape, format: .f32, bytes: bytes)
  }

  /// Tensors with and without padding behind them, one of them empty, one of several frames if `large`.
  static func tensors(large: Bool = false) -> [StoredTensor] {
    [
      tensor("first.weight", [3, 5], seed: 1), tensor("empty", [0, 4], seed: 2),
      tensor("wörter.weight", large ? [700, 1001] : [2, 8], seed: 3, lazily: true),
      tensor("scalar", [1], seed: 4),
    ]
  }

  /// A layout of ``tensors(large:)``.
  static func layout(_ container: String, large: Bool = false) throws -> ContainerLayout {
    switch container {
    case "gguf":
      try GGUFWriter.layout(
        metadata: [GGUFEntry("general.architecture", .string("llama"))], tensors: tensors(large: large))
    default: try SafetensorsWriter.layout(tensors: tensors(large: large), metadata: ["format": "pt"])
    }
  }

  /// The bytes of the standard file.
  static func plain(_ layout: ContainerLayout) throws -> [UInt8] {
    var sink = MemorySink()
    try layout.write(to: &sink)
    return sink.bytes
  }

  /// A recipe for manifests.
  static var recipe: JSONValue {
    .object(
      JSONObject([("quantize", .object(JSONObject([("bits", .integer(4)), ("note", .string("é\n"))])))]))
  }

  /// Packs `layout` at `path` with all the extras.
  @discardableResult
  static func pack(
    _ layout: ContainerLayout, to path: String, level: Int = ArtifactFile.defaultLevel
  ) throws -> ArtifactFile.Summary {
    try ArtifactFile.write(
      layout, to: path, level: level, recipe: recipe,
      source: ["model.bin": String(repeating: "0a", count: 32)],
      toolVersion: "0.1.0-test")
  }

  static func bytes(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
  }
}

/// A folder that lives as long as the value.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "/compress-test-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of `name` inside.
  func file(_ name: String) -> String { path + "/" + name }

  /// What lies inside, hidden files included.
  var contents: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
}

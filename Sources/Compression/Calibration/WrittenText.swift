internal import ModelFiles
internal import Models
internal import TensorCore

/// A text that a model has written, kept in a folder: the same model, length and seed write the same again.
///
/// A safetensors file with `lengths`, I32 [texts], and `tokens`, I32 [all tokens].
struct WrittenText {
  private let identity: String
  private let folder: String

  private var path: String { "\(folder)/text-\(identity.prefix(16)).safetensors" }

  /// The text of a model.
  init(folder: String, checkpoint: Checkpoint, tokens: Int, context: Int, seed: UInt64) throws {
    self.folder = folder
    var parts = ["side by side \(tokens) \(context) \(seed) \(toolVersion)"]
    for tensor in checkpoint.tensors {
      parts.append("\(tensor.name) \(tensor.shape) \(FileHash.sha256(of: try tensor.bytes.load()))")
    }
    identity = Array(parts.joined(separator: "\n").utf8).withUnsafeBytes { FileHash.sha256(of: $0) }
  }

  /// The text, or nil where there is none that can be used.
  func read(vocabulary: Int) -> [[Int]]? {
    guard let file = try? MappedFile(path: path), let source = try? SafetensorsFile.read(file),
      source.textMetadata["identity"] == identity,
      let lengths = numbers("lengths", source), let tokens = numbers("tokens", source),
      lengths.allSatisfy({ $0 > 0 && $0 <= tokens.count }), lengths.reduce(0, +) == tokens.count,
      tokens.allSatisfy({ (0..<vocabulary).contains($0) })
    else { return nil }
    var (result, start) = ([[Int]](), 0)
    for length in lengths {
      result.append(Array(tokens[start..<start + length]))
      start += length
    }
    return result.isEmpty ? nil : result
  }

  private func numbers(_ name: String, _ source: ModelSource) -> [Int]? {
    guard let tensor = source.tensors.first(where: { $0.name == name }), tensor.format == .i32,
      let bytes = try? tensor.bytes.load()
    else { return nil }
    return bytes.withBytes { bytes in
      (0..<bytes.count / 4).map {
        Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)))
      }
    }
  }

  /// Keeps a text.
  func write(_ sequences: [[Int]]) throws {
    func tensor(_ name: String, _ values: [Int]) -> StoredTensor {
      let bytes = values.flatMap { value in
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
      }
      return StoredTensor(
        name: name, shape: [values.count], format: .i32, bytes: TensorBytes(ByteRegion(bytes)))
    }
    try AtomicFile.makeFolder(folder)
    let layout = try SafetensorsWriter.layout(
      tensors: [
        tensor("lengths", sequences.map(\.count)), tensor("tokens", sequences.flatMap { $0 }),
      ], metadata: ["identity": identity], path: path)
    var file = try AtomicFile(path: path)
    do { try layout.write(to: &file) } catch {
      file.discard()
      throw error
    }
    try file.commit()
  }
}

import Foundation
import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing

/// The tiny random models of `Fixtures/models`, made by `make_models.py`.
enum TinyModel {
  /// Every decoder.
  static let language = [
    "llama-tied", "llama-bias", "llama-mqa", "llama-head-dim", "llama-linear", "llama-llama3", "llama-yarn",
    "mistral", "qwen2", "qwen2-window", "qwen3",
  ]
  /// Every encoder.
  static let encoders = ["bert-mean", "bert-cls"]

  /// The folder's contents as a source.
  static func source(_ name: String) throws -> ModelSource {
    let folder = fixture("models/\(name)")
    var source = try SafetensorsFile.read(MappedFile(path: folder + "/model.safetensors"))
    source.path = folder
    source.configuration = try json(folder + "/config.json")
    for kind in [TokenizerFile.Kind.sentenceTransformers, .pooling] {
      guard let file = try? MappedFile(path: folder + "/" + kind.rawValue) else { continue }
      source.tokenizerFiles.append(TokenizerFile(kind: kind, path: file.path, contents: file.region))
    }
    return source
  }

  /// The checkpoint of a folder.
  static func checkpoint(_ name: String) throws -> Checkpoint { try Checkpoint.load(source(name)) }

  /// A JSON file.
  static func json(_ path: String) throws -> JSONValue {
    let file = try MappedFile(path: path)
    return try withExtendedLifetime(file) { try JSONValue(parsing: file.region.buffer) }
  }

  /// The source that a GGUF file of this checkpoint is.
  static func throughGGUF(_ checkpoint: Checkpoint) throws -> ModelSource {
    let contents = try checkpoint.ggufContents()
    var sink = MemorySink()
    try GGUFWriter.layout(metadata: contents.metadata, tensors: contents.tensors).write(to: &sink)
    let path = temporaryPath("gguf")
    try writeFile(sink.bytes, to: path)
    return try GGUFFile.read(MappedFile(path: path))
  }
}

/// What `transformers` computed.
struct Reference {
  let ids: [[Int]]
  let values: Matrix

  /// Reads `input_ids`, and `logits` or `embeddings`; rows of ids end where `attention_mask` does.
  ///
  /// - Parameter name: other values to take in place of these.
  init(_ path: String, values name: String? = nil) throws {
    let source = try SafetensorsFile.read(MappedFile(path: path))
    func integers(_ name: String) throws -> [Int]? {
      guard let tensor = source.tensors.first(where: { $0.name == name }) else { return nil }
      let region = try tensor.bytes.load()
      return withExtendedLifetime(region) {
        (0..<tensor.elementCount).map {
          Int(region.base.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self))
        }
      }
    }
    let flat = try #require(try integers("input_ids"))
    let shape = try #require(source.tensors.first { $0.name == "input_ids" }).shape
    let mask = try integers("attention_mask") ?? flat.map { _ in 1 }
    let columns = shape.last ?? flat.count
    ids = (0..<flat.count / columns).map { row in
      (row * columns..<(row + 1) * columns).filter { mask[$0] == 1 }.map { flat[$0] }
    }
    let names = name.map { [$0] } ?? ["logits", "embeddings"]
    let output = try #require(source.tensors.first { names.contains($0.name) })
    values = Matrix(rows: output.rowCount, columns: output.rowLength, elements: try output.values())
  }
}

/// The largest difference between two matrices, divided by the largest magnitude of the second.
func relativeError(_ found: Matrix, _ expected: Matrix) -> Float {
  guard found.rows == expected.rows, found.columns == expected.columns else { return .infinity }
  let top = expected.elements.reduce(0) { max($0, abs($1)) }
  let worst = zip(found.elements, expected.elements).reduce(Float(0)) {
    let error = abs($1.0 - $1.1)
    return error.isNaN ? .infinity : max($0, error)
  }
  return worst / top
}

/// The decoder of a checkpoint.
func languageModel(_ checkpoint: Checkpoint) throws -> any LanguageModel {
  guard case .language(let model) = try checkpoint.makeModel() else {
    throw ModelError(.unsupported, checkpoint.name, "no language model")
  }
  return model
}

/// The encoder of a checkpoint.
func encoderModel(_ checkpoint: Checkpoint) throws -> any EncoderModel {
  guard case .encoder(let model) = try checkpoint.makeModel() else {
    throw ModelError(.unsupported, checkpoint.name, "no encoder")
  }
  return model
}

/// All logits of a sequence in one pass.
func logits(_ model: any LanguageModel, _ ids: [Int]) -> Matrix {
  model.forward(ids, cache: model.makeCache(capacity: ids.count), logits: .from(0))
}

/// A fresh path in the system's folder for temporary files.
func temporaryPath(_ ending: String) -> String {
  FileManager.default.temporaryDirectory.appendingPathComponent("compress-\(UUID().uuidString).\(ending)")
    .path
}

/// Writes a small file.
func writeFile(_ bytes: [UInt8], to path: String) throws {
  try Data(bytes).write(to: URL(fileURLWithPath: path))
}

/// A tokenizer whose token n is the character n + 32.
struct LetterTokenizer: Tokenizer {
  var stop: Set<Int>
  var vocabularySize: Int { 64 }
  var beginningOfText: Int? { nil }
  var endOfText: Int? { nil }
  var stopIDs: Set<Int> { stop }
  var addsBeginningOfText: Bool { false }
  func encode(_ text: [UInt8], addSpecial: Bool) -> [Int] { text.map { Int($0) - 32 } }
  func decode(_ ids: [Int]) -> [UInt8] { ids.map { UInt8($0 + 32) } }
  func piece(_ id: Int) -> [UInt8] { decode([id]) }
  var ggufEntries: [GGUFEntry] { [] }
}

import Foundation
import ModelFiles
import Models
import TensorCore
import TestSupport

/// The tokenizers and expectations that `Fixtures/make_tokenizers.py` wrote.
enum TokenizerFixtures {
  /// One tokenizer's expectations for the torture list.
  struct Expectation {
    var ids: [[Int]]
    var plain: [[Int]]?
    var decoded: [[UInt8]]?
  }

  static let torture: JSONValue = (try? json("tokenizers/torture.json")) ?? .null
  static let texts: [[UInt8]] = (torture["texts"]?.arrayValue ?? []).map(base64)
  static let names: [String] = torture["results"]?.objectValue?.keys ?? []

  static func json(_ name: String) throws -> JSONValue {
    let file = try MappedFile(path: path(name))
    return try withExtendedLifetime(file) { try JSONValue(parsing: file.region.buffer) }
  }

  /// The path of a fixture; the test files lie one folder deeper than the fixtures' parent.
  static func path(_ name: String) -> String {
    fixture(name, file: URL(fileURLWithPath: #filePath).deletingLastPathComponent().path)
  }

  static func base64(_ value: JSONValue) -> [UInt8] {
    Array(Data(base64Encoded: value.stringValue ?? "") ?? Data())
  }

  static func expectation(_ name: String) -> Expectation {
    let entry = torture["results"]?[name]
    func lists(_ key: String) -> [[Int]]? {
      entry?[key]?.arrayValue?.map { ($0.arrayValue ?? []).compactMap(\.intValue) }
    }
    // A decoded text that is the text itself is written as null.
    let decoded = entry?["decoded"]?.arrayValue.map { list in
      zip(list, texts).map { $0 == .null ? $1 : base64($0) }
    }
    return Expectation(
      ids: lists("ids") ?? [], plain: lists("plain"), decoded: decoded)
  }

  /// The kind of file that `name` is.
  static func kind(_ name: String) -> TokenizerFile.Kind {
    if name.hasSuffix(".model") { return .sentencePiece }
    if name.hasSuffix(".bin") { return .llama2c }
    return name.hasSuffix(".txt") ? .wordPiece : .json
  }

  /// A source that carries nothing but tokenizer files.
  static func source(_ files: [TokenizerFile]) -> ModelSource {
    var source = ModelSource(container: .safetensors, path: "model", files: [], tensors: [])
    source.tokenizerFiles = files
    return source
  }

  static func tokenizer(_ kind: TokenizerFile.Kind, _ bytes: [UInt8], configuration: String? = nil) throws
    -> (any Tokenizer)?
  {
    var files = [TokenizerFile(kind: kind, path: "the-file", contents: ByteRegion(bytes))]
    if let configuration {
      files.append(
        TokenizerFile(
          kind: .configuration, path: "tokenizer_config.json", contents: ByteRegion(Array(configuration.utf8))
        ))
    }
    return try TokenizerList.tokenizer(of: source(files))
  }

  static func bytes(_ name: String) throws -> [UInt8] {
    let region = try MappedFile(path: path("tokenizers/" + name)).region
    return withExtendedLifetime(region) { Array(region.buffer) }
  }

  static func tokenizer(_ name: String) throws -> any Tokenizer {
    guard let tokenizer = try tokenizer(kind(name), bytes(name)) else { throw Missing(name: name) }
    return tokenizer
  }

  struct Missing: Error { var name: String }

  /// A text for a failure's message.
  static func show(_ text: [UInt8]) -> String { String(decoding: text, as: UTF8.self).debugDescription }
}

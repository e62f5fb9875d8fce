import ModelFiles
import Models
import TensorCore
import Testing

/// Configurations and metadata that files may hold and no model has: an error, or a model that runs.
@Suite struct MutatedModelTests {
  private static let values: [JSONValue] = [
    .integer(0), .integer(-1), .integer(1), .integer(3), .integer(7), .integer(65_536), .integer(1 << 20),
    .integer(1 << 28), .integer(1 << 40), .integer(.max), .integer(.min), .number(1e18), .number(1e300),
    .number(0.5), .number(-0.0), .number(1e-300), .null, .bool(true), .string("x"), .string(""), .array([]),
    .array([.integer(1)]), .object(JSONObject([("a", .integer(1))])),
  ]

  /// Loads `source`, and runs four tokens through what it is.
  private static func attempt(_ source: ModelSource) -> Bool {
    guard let checkpoint = try? Checkpoint.load(source), let model = try? checkpoint.makeModel() else {
      return false
    }
    _ = try? checkpoint.ggufContents()
    switch model {
    case .language(let model):
      let ids = (0..<4).map { $0 % model.vocabularySize }
      let cache = model.makeCache(capacity: model.contextLength + 4)
      return model.forward(ids, cache: cache, logits: .last).rows == 1
    case .encoder(let model):
      return model.embed([[Int](repeating: 0, count: min(4, model.contextLength))]).rows == 1
    case .none: return true
    }
  }

  @Test(arguments: TinyModel.language + TinyModel.encoders)
  func anyValueOfAnyKey(_ name: String) throws {
    let source = try TinyModel.source(name)
    #expect(Self.attempt(source))
    let object = try #require(source.configuration?.objectValue)
    var refused = 0
    for key in object.keys {
      for value in Self.values {
        var broken = source
        var changed = object
        changed[key] = value
        broken.configuration = .object(changed)
        if !Self.attempt(broken) { refused += 1 }
      }
    }
    #expect(refused > 50)
  }

  @Test(arguments: ["rope_scaling", "rope_parameters"])
  func anyRotaryScaling(_ key: String) throws {
    let source = try TinyModel.source("llama-yarn")
    var object = try #require(source.configuration?.objectValue)
    object["rope_scaling"] = nil
    for type in ["yarn", "linear", "llama3", "longrope"] {
      for value in Self.values {
        var broken = source
        var changed = object
        var scaling = JSONObject([
          ("rope_type", .string(type)), ("factor", value), ("low_freq_factor", value),
          ("high_freq_factor", .number(4)), ("original_max_position_embeddings", .integer(16)),
        ])
        scaling["beta_fast"] = value
        changed[key] = .object(scaling)
        broken.configuration = .object(changed)
        _ = Self.attempt(broken)
      }
    }
  }

  @Test(arguments: ["llama-tied", "qwen2-window", "bert-mean", "llama-llama3"])
  func anyValueOfAnyGGUFKey(_ name: String) throws {
    let source = try TinyModel.throughGGUF(TinyModel.checkpoint(name))
    #expect(Self.attempt(source))
    let values: [GGUFValue] = [
      .uint32(0), .uint32(1), .uint32(3), .uint32(1 << 20), .uint32(1 << 28), .uint32(.max), .int32(-1),
      .uint64(.max), .int64(.min), .float32(.nan), .float32(.infinity), .float32(-1), .float32(0),
      .float64(1e300), .string("x"), .string("yarn"), .bool(true), .bytes([0xFF]), .strings(["a"]),
      .int32s([]), .int32s([2, 4]), .float32s([.nan]), .array([.bool(true)], elementType: 7),
    ]
    for place in source.metadata.indices {
      for value in values {
        var broken = source
        broken.metadata[place].value = value
        _ = Self.attempt(broken)
      }
    }
  }

  @Test func longHeadsAreRefusedBeforeAnyTableIsMade() throws {
    var source = try TinyModel.source("llama-llama3")
    var object = try #require(source.configuration?.objectValue)
    object["head_dim"] = nil
    object["hidden_size"] = .integer(1 << 28)
    object["num_attention_heads"] = .integer(1)
    object["num_key_value_heads"] = .integer(1)
    source.configuration = .object(object)
    let error = #expect(throws: ModelError.self) { _ = try Checkpoint.load(source) }
    #expect(error?.message == "1 heads of hidden_size 268435456 are longer than 16384")
  }

  @Test func cachesGrowWithTheirTokens() throws {
    let model = try languageModel(TinyModel.checkpoint("llama-tied"))
    let huge = model.makeCache(capacity: 1 << 40)
    let before = huge.byteCount
    let ids = (0..<1300).map { ($0 * 7) % model.vocabularySize }
    var rows: [Float] = []
    for start in stride(from: 0, to: ids.count, by: 300) {
      let part = Array(ids[start..<min(start + 300, ids.count)])
      rows = Array(model.forward(part, cache: huge, logits: .last).row(0))
    }
    let exact = model.forward(ids, cache: model.makeCache(capacity: ids.count), logits: .last)
    // Sums are cut otherwise in passes of other lengths; a misplaced key would be seen in the first digit.
    #expect(zip(rows, exact.row(0)).allSatisfy { abs($0 - $1) < 1e-4 })
    #expect(huge.byteCount > before && huge.byteCount <= 8 * before)
  }
}

package import ModelFiles
import TensorCore

// Names and metadata as llama.cpp's converter writes them for "bert".
extension BertArchitecture {
  package func canonicalName(ofGGUF name: String) -> String? { table[gguf: name]?.name }
  package func ggufName(of name: String) -> String? { table[name]?.gguf }
  package func ggufRowOrder(of name: String) -> [Int]? { nil }
  package var ggufTables: [StoredTensor] { [] }

  /// llama.cpp's numbers for the ways of pooling.
  private static let poolings: [(mode: BertConfiguration.Pooling, number: Int)] = [(.mean, 1), (.cls, 2)]
  /// Our own key: GGUF has none for it, and other readers pass over it.
  private static let normalizeKey = "compress.normalize_embeddings"

  package func ggufEntries(name: String) -> [GGUFEntry] {
    func entry(_ key: String, _ value: Int) -> GGUFEntry { GGUFEntry("bert.\(key)", .uint32(UInt32(value))) }
    let pooling = Self.poolings.first { $0.mode == configuration.pooling }?.number ?? 1
    return [
      GGUFEntry("general.architecture", .string("bert")), GGUFEntry("general.type", .string("model")),
      GGUFEntry("general.name", .string(name)),
      entry("block_count", configuration.blockCount), entry("context_length", configuration.contextLength),
      entry("embedding_length", configuration.hiddenSize),
      entry("feed_forward_length", configuration.intermediateSize),
      entry("attention.head_count", configuration.headCount),
      GGUFEntry("bert.attention.layer_norm_epsilon", .float32(configuration.normEpsilon)),
      GGUFEntry("bert.attention.causal", .bool(false)),
      entry("pooling_type", pooling), entry("vocab_size", configuration.vocabularySize),
      GGUFEntry("tokenizer.ggml.token_type_count", .uint32(UInt32(configuration.typeCount))),
      GGUFEntry(Self.normalizeKey, .bool(configuration.normalizes)),
    ]
  }

  package static func configuration(fromGGUF source: ModelSource) throws -> JSONValue {
    let metadata = GGUFMetadata(source.metadata)
    let tensors = Dictionary(source.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    guard let embedding = tensors["token_embd.weight"] else {
      throw ModelError(.missingTensor, "", "tensor 'token_embd.weight' is missing")
    }
    let types = tensors["token_types.weight"]?.rowCount
    let number = try metadata.integer(".pooling_type") ?? 1
    guard let pooling = poolings.first(where: { $0.number == number })?.mode else {
      throw ModelError(.unsupported, "", "pooling_type \(number) is not run here (1, mean, and 2, cls, are)")
    }
    let epsilon = metadata.number(".attention.layer_norm_epsilon") ?? 1e-12
    return .object(
      JSONObject([
        ("architectures", .array([.string("BertModel")])), ("model_type", .string("bert")),
        ("hidden_act", .string("gelu")),
        ("hidden_size", .integer(try metadata.required(".embedding_length"))),
        ("intermediate_size", .integer(try metadata.required(".feed_forward_length"))),
        ("num_hidden_layers", .integer(try metadata.required(".block_count"))),
        ("num_attention_heads", .integer(try metadata.required(".attention.head_count"))),
        ("max_position_embeddings", .integer(try metadata.required(".context_length"))),
        ("vocab_size", .integer(try metadata.integer(".vocab_size") ?? embedding.rowCount)),
        ("type_vocab_size", .integer(try types ?? metadata.integer("tokenizer.ggml.token_type_count") ?? 2)),
        ("layer_norm_eps", .number(LlamaArchitecture.shortest(epsilon))),
        (
          BertConfiguration.poolingKey,
          .object(
            JSONObject([
              ("pooling_mode", .string(pooling.rawValue)),
              ("normalize", .bool(metadata.flag(normalizeKey) ?? true)),
            ]))
        ),
      ]))
  }
}

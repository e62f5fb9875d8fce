package import ModelFiles
import TensorCore

/// Encoders of the BERT family: BERT, MiniLM and what sentence-transformers makes of them.
///
/// Canonical names are those of `transformers`' `BertModel`, without the `bert.` prefix of models with heads:
/// `embeddings.word_embeddings.weight`, `encoder.layer.0.attention.self.query.weight`, ….
package struct BertArchitecture: Architecture {
  package static let modelTypes = ["bert"]
  package static let ggufNames = ["bert"]

  /// The configuration, checked.
  package let configuration: BertConfiguration
  package let table: TensorTable

  package init(configuration: JSONValue) throws {
    self.configuration = try BertConfiguration(configuration)
    table = Self.table(self.configuration)
  }

  package var isEncoder: Bool { true }
  package var contextLength: Int { configuration.contextLength }
  package var vocabularySize: Int { configuration.vocabularySize }

  package var requiredTensors: [(name: String, shape: [Int])] { table.shapes(optional: false) }
  package var optionalTensors: [(name: String, shape: [Int])] { table.shapes(optional: true) }
  package var tensorOrder: [String] { table.entries.map(\.name) }

  /// Models with heads have the prefix `bert.`; checkpoints converted from TensorFlow call a norm's parts gamma and beta.
  package func canonicalName(of name: String) -> String {
    var name = name.hasPrefix("bert.") ? String(name.dropFirst(5)) : name
    for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")] where name.hasSuffix("LayerNorm" + old) {
      name = String(name.dropLast(old.count)) + new
    }
    return name
  }

  package func role(of name: String) -> TensorRole? { table[name]?.role }

  package func reasonToLeaveOut(_ name: String) -> String? {
    if name.hasSuffix("embeddings.position_ids") || name.hasSuffix("embeddings.token_type_ids") {
      return "a buffer, made from the configuration"
    }
    let heads = ["pooler.", "cls.", "classifier.", "qa_outputs."]
    return heads.contains { name.hasPrefix($0) } ? "a head that embeddings do not use" : nil
  }

  /// The purpose of a tensor by the end of its name, for checkpoints without a configuration.
  package static func role(byName name: String) -> TensorRole? {
    for part in embeddingParts where name.hasSuffix("embeddings." + part.name) { return part.role }
    guard name.contains("layer.") else { return nil }
    return parts.first { name.hasSuffix("." + $0.name) }?.role
  }

  private static let embeddingParts: [(name: String, gguf: String, role: TensorRole)] = [
    ("word_embeddings.weight", "token_embd.weight", .tokenEmbedding),
    ("position_embeddings.weight", "position_embd.weight", .positionEmbedding),
    ("token_type_embeddings.weight", "token_types.weight", .typeEmbedding),
    ("LayerNorm.weight", "token_embd_norm.weight", .norm),
    ("LayerNorm.bias", "token_embd_norm.bias", .bias),
  ]

  /// The parts of a block; the longer of two names that end alike stands first.
  private static let parts: [(name: String, gguf: String, role: TensorRole)] = [
    ("attention.self.query.weight", "attn_q.weight", .query),
    ("attention.self.query.bias", "attn_q.bias", .bias),
    ("attention.self.key.weight", "attn_k.weight", .key),
    ("attention.self.key.bias", "attn_k.bias", .bias),
    ("attention.self.value.weight", "attn_v.weight", .value),
    ("attention.self.value.bias", "attn_v.bias", .bias),
    ("attention.output.dense.weight", "attn_output.weight", .attentionOutput),
    ("attention.output.dense.bias", "attn_output.bias", .bias),
    ("attention.output.LayerNorm.weight", "attn_output_norm.weight", .norm),
    ("attention.output.LayerNorm.bias", "attn_output_norm.bias", .bias),
    ("intermediate.dense.weight", "ffn_up.weight", .up),
    ("intermediate.dense.bias", "ffn_up.bias", .bias),
    ("output.dense.weight", "ffn_down.weight", .down),
    ("output.dense.bias", "ffn_down.bias", .bias),
    ("output.LayerNorm.weight", "layer_output_norm.weight", .norm),
    ("output.LayerNorm.bias", "layer_output_norm.bias", .bias),
  ]

  private static func table(_ configuration: BertConfiguration) -> TensorTable {
    let (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    let rows = [
      "word_embeddings.weight": configuration.vocabularySize,
      "position_embeddings.weight": configuration.contextLength,
      "token_type_embeddings.weight": configuration.typeCount,
    ]
    var entries = embeddingParts.map { part in
      TensorEntry(
        name: "embeddings." + part.name, gguf: part.gguf, role: part.role,
        shape: rows[part.name].map { [$0, width] } ?? [width])
    }
    for block in 0..<configuration.blockCount {
      for part in parts {
        let outputs = part.name.hasPrefix("intermediate.") ? inner : width
        let inputs = part.role == .down ? inner : width
        entries.append(
          TensorEntry(
            name: "encoder.layer.\(block).\(part.name)", gguf: "blk.\(block).\(part.gguf)", role: part.role,
            shape: part.role == .norm || part.role == .bias ? [outputs] : [outputs, inputs]))
      }
    }
    return TensorTable(entries)
  }

  package func makeModel(_ checkpoint: Checkpoint) throws -> RunnableModel {
    .encoder(try BertModel(configuration, checkpoint: checkpoint))
  }
}

/// What `config.json`, and the sentence-transformers files beside it, say about a BERT model.
package struct BertConfiguration: Sendable {
  /// How a sequence's vectors become one.
  package enum Pooling: String, Sendable {
    /// The mean over all tokens.
    case mean
    /// The vector of the first token.
    case cls
  }

  /// The activations between a block's two matrices.
  package enum Activation: String, Sendable {
    case gelu, geluTanh, relu
  }

  package var hiddenSize: Int
  package var intermediateSize: Int
  package var blockCount: Int
  package var headCount: Int
  package var vocabularySize: Int
  package var contextLength: Int
  package var typeCount: Int
  package var normEpsilon: Float
  package var activation: Activation
  package var pooling: Pooling
  package var normalizes: Bool

  /// The key under which importing keeps what sentence-transformers' own files say.
  package static let poolingKey = "sentence_transformers"

  /// Reads `config.json` as `transformers` does, defaults included.
  package init(_ configuration: JSONValue) throws {
    let reader = ConfigurationReader(configuration)
    hiddenSize = try reader.required("hidden_size")
    intermediateSize = try reader.required("intermediate_size")
    blockCount = try reader.required("num_hidden_layers", limit: ConfigurationReader.blockLimit)
    headCount = try reader.required("num_attention_heads", limit: 1 << 14)
    vocabularySize = try reader.required("vocab_size")
    contextLength = try reader.size("max_position_embeddings") ?? 512
    typeCount = try reader.size("type_vocab_size") ?? 2
    normEpsilon = Float(try reader.positive("layer_norm_eps", default: 1e-12))
    switch configuration["hidden_act"]?.stringValue ?? "gelu" {
    case "gelu": activation = .gelu
    case "gelu_new", "gelu_pytorch_tanh": activation = .geluTanh
    case "relu": activation = .relu
    case let name: throw ModelError(.unsupported, "", "hidden_act '\(name)' is not run here (gelu is)")
    }
    let pooling = configuration[Self.poolingKey]
    let name = pooling?["pooling_mode"]?.stringValue ?? "mean"
    guard let mode = Pooling(rawValue: name) else {
      throw ModelError(.unsupported, "", "pooling '\(name)' is not run here (mean and cls are)")
    }
    self.pooling = mode
    normalizes = pooling?["normalize"]?.boolValue ?? false
    guard hiddenSize % headCount == 0 else {
      throw ModelError(
        .badConfiguration, "", "hidden_size \(hiddenSize) does not divide into \(headCount) heads")
    }
    let positions = configuration["position_embedding_type"]?.stringValue ?? "absolute"
    guard positions == "absolute" else {
      throw ModelError(.unsupported, "", "position_embedding_type '\(positions)' is not run here")
    }
    if let isDecoder = configuration["is_decoder"]?.boolValue, isDecoder {
      throw ModelError(.unsupported, "", "a BERT model used as a decoder is not run here")
    }
  }
}

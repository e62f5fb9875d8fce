package import ModelFiles

/// The members of a llama family model. They differ in biases, norms and windows only.
package enum LlamaVariant: String, Sendable {
  case llama, mistral, qwen2, qwen3

  /// The name that llama.cpp gives the variant; Mistral's models are "llama" there.
  package var ggufName: String { self == .mistral ? "llama" : rawValue }
  /// Whether llama.cpp stores query and key rows for the interleaved rotary embedding.
  package var permutesInGGUF: Bool { self == .llama || self == .mistral }
}

/// What `config.json` says about a llama family model.
package struct LlamaConfiguration: Sendable {
  package var variant: LlamaVariant
  package var hiddenSize: Int
  package var intermediateSize: Int
  package var blockCount: Int
  package var headCount: Int
  package var keyValueHeadCount: Int
  package var headLength: Int
  package var vocabularySize: Int
  package var contextLength: Int
  package var normEpsilon: Float
  package var rotary: RotaryScaling
  /// Whether the output is the embedding; nil when the configuration does not say.
  package var tiesEmbeddings: Bool?
  /// Whether query, key and value have biases, and whether the attention's output has one.
  package var hasAttentionBias: Bool
  package var hasAttentionOutputBias: Bool
  package var hasMLPBias: Bool
  /// How many tokens back each block sees, itself included; nil for all of them. One entry a block.
  package var windows: [Int?]

  /// The width of all query heads together.
  package var queryWidth: Int { headCount * headLength }
  /// The width of all key (or value) heads together.
  package var keyValueWidth: Int { keyValueHeadCount * headLength }

  /// Reads `config.json` as `transformers` does, defaults included.
  package init(_ configuration: JSONValue) throws {
    let reader = ConfigurationReader(configuration)
    let name = configuration["model_type"]?.stringValue ?? "llama"
    guard let variant = LlamaVariant(rawValue: name) else {
      throw ModelError(.unsupported, "", "model_type '\(name)' is not of the llama family")
    }
    self.variant = variant
    hiddenSize = try reader.required("hidden_size")
    intermediateSize = try reader.required("intermediate_size")
    blockCount = try reader.required("num_hidden_layers", limit: ConfigurationReader.blockLimit)
    headCount = try reader.required("num_attention_heads", limit: 1 << 14)
    keyValueHeadCount = try reader.size("num_key_value_heads", limit: 1 << 14) ?? headCount
    headLength = try Self.headLength(reader, variant: variant, width: hiddenSize, heads: headCount)
    vocabularySize = try reader.required("vocab_size")
    contextLength = try reader.size("max_position_embeddings") ?? 2048
    normEpsilon = Float(try reader.positive("rms_norm_eps", default: 1e-6))
    tiesEmbeddings =
      try reader.has("tie_word_embeddings") ? reader.flag("tie_word_embeddings", default: false) : nil
    let bias = try reader.flag("attention_bias", default: variant == .qwen2)
    hasAttentionBias = bias || variant == .qwen2
    hasAttentionOutputBias = bias && variant != .qwen2
    hasMLPBias = try variant == .llama && reader.flag("mlp_bias", default: false)
    windows = try Self.windows(reader, variant: variant, blocks: blockCount)
    rotary = try RotaryScaling(configuration, headLength: headLength, contextLength: contextLength)
    try check(configuration)
  }

  /// No head is longer; it bounds the tables of the rotary embedding before any tensor was looked at.
  private static let headLengthLimit = 1 << 14

  private static func headLength(
    _ reader: ConfigurationReader, variant: LlamaVariant, width: Int, heads: Int
  ) throws -> Int {
    if let length = try reader.size("head_dim", limit: headLengthLimit) { return length }
    if variant == .qwen3 { return 128 }
    guard width % heads == 0 else {
      throw ModelError(
        .badConfiguration, "",
        "hidden_size \(width) does not divide into \(heads) heads, and there is no 'head_dim'")
    }
    guard width / heads <= headLengthLimit else {
      throw ModelError(
        .badConfiguration, "", "\(heads) heads of hidden_size \(width) are longer than \(headLengthLimit)")
    }
    return width / heads
  }

  /// Mistral looks back a fixed window in every block; qwen2 and qwen3 where `layer_types` or `max_window_layers` say.
  private static func windows(
    _ reader: ConfigurationReader, variant: LlamaVariant, blocks: Int
  ) throws -> [Int?] {
    let none = [Int?](repeating: nil, count: blocks)
    switch variant {
    case .llama: return none
    case .mistral:
      let window = try reader.has("sliding_window") ? reader.size("sliding_window") : 4096
      return [Int?](repeating: window, count: blocks)
    case .qwen2, .qwen3:
      guard try reader.flag("use_sliding_window", default: false),
        let window = try reader.has("sliding_window") ? reader.size("sliding_window") : 4096
      else { return none }
      if let types = reader.configuration["layer_types"]?.arrayValue {
        guard types.count == blocks else {
          throw ModelError(
            .badConfiguration, "", "'layer_types' has \(types.count) entries, the model \(blocks) layers")
        }
        return types.map { $0.stringValue == "sliding_attention" ? window : nil }
      }
      let first = reader.configuration["max_window_layers"]?.intValue ?? 28
      return (0..<blocks).map { $0 >= first ? window : nil }
    }
  }

  private func check(_ configuration: JSONValue) throws {
    guard headCount % keyValueHeadCount == 0 else {
      throw ModelError(
        .badConfiguration, "",
        "num_attention_heads \(headCount) is no multiple of num_key_value_heads \(keyValueHeadCount)")
    }
    guard headLength % 2 == 0 else {
      throw ModelError(.badConfiguration, "", "head_dim \(headLength) is odd; a rotary embedding needs pairs")
    }
    if let activation = configuration["hidden_act"]?.stringValue, !["silu", "swish"].contains(activation) {
      throw ModelError(.unsupported, "", "hidden_act '\(activation)' is not run here (silu is)")
    }
    if let experts = configuration["num_local_experts"]?.intValue, experts > 1 {
      throw ModelError(.unsupported, "", "a mixture of \(experts) experts is not run here")
    }
  }
}

public import ModelFiles
import TensorCore

/// Decoder-only models of the llama family: Llama, Mistral, Qwen2 and Qwen3 (dense).
///
/// Canonical names are those of `transformers`' `…ForCausalLM`: `model.embed_tokens.weight`,
/// `model.layers.0.self_attn.q_proj.weight`, …, `model.norm.weight`, `lm_head.weight`.
public struct LlamaArchitecture: Architecture {
  public static let modelTypes = ["llama", "mistral", "qwen2", "qwen3"]
  public static let ggufNames = ["llama", "qwen2", "qwen3"]

  /// The configuration, checked.
  package let configuration: LlamaConfiguration
  package let table: TensorTable

  public init(configuration: JSONValue) throws {
    self.init(try LlamaConfiguration(configuration))
  }

  package init(_ configuration: LlamaConfiguration) {
    self.configuration = configuration
    table = Self.table(configuration)
  }

  public var isEncoder: Bool { false }
  public var contextLength: Int { configuration.contextLength }
  public var vocabularySize: Int { configuration.vocabularySize }

  public var requiredTensors: [(name: String, shape: [Int])] { table.shapes(optional: false) }
  public var optionalTensors: [(name: String, shape: [Int])] { table.shapes(optional: true) }
  public var tensorOrder: [String] { table.entries.map(\.name) }

  /// Checkpoints of the bare model (`LlamaModel`) lack the `model.` prefix.
  public func canonicalName(of name: String) -> String {
    let isBare = name.hasPrefix("layers.") || name.hasPrefix("embed_tokens.") || name == "norm.weight"
    return isBare ? "model." + name : name
  }

  public func role(of name: String) -> TensorRole? { table[name]?.role }

  public func reasonToLeaveOut(_ name: String) -> String? {
    let buffers = [
      "rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached", "attn.masked_bias",
    ]
    return buffers.contains { name.hasSuffix($0) } ? "a buffer, made from the configuration" : nil
  }

  /// The purpose of a tensor by the end of its name, for checkpoints without a configuration.
  package static func role(byName name: String) -> TensorRole? {
    if name == "lm_head.weight" { return .output }
    if name.hasSuffix("embed_tokens.weight") { return .tokenEmbedding }
    guard name.contains("layers.") else { return name == "model.norm.weight" ? .norm : nil }
    return parts.first { name.hasSuffix("." + $0.name) }?.role
  }

  /// The parts of a block: canonical and GGUF name, purpose.
  private static let parts: [(name: String, gguf: String, role: TensorRole)] = [
    ("input_layernorm.weight", "attn_norm.weight", .norm),
    ("self_attn.q_proj.weight", "attn_q.weight", .query),
    ("self_attn.q_proj.bias", "attn_q.bias", .bias),
    ("self_attn.k_proj.weight", "attn_k.weight", .key),
    ("self_attn.k_proj.bias", "attn_k.bias", .bias),
    ("self_attn.v_proj.weight", "attn_v.weight", .value),
    ("self_attn.v_proj.bias", "attn_v.bias", .bias),
    ("self_attn.o_proj.weight", "attn_output.weight", .attentionOutput),
    ("self_attn.o_proj.bias", "attn_output.bias", .bias),
    ("self_attn.q_norm.weight", "attn_q_norm.weight", .norm),
    ("self_attn.k_norm.weight", "attn_k_norm.weight", .norm),
    ("post_attention_layernorm.weight", "ffn_norm.weight", .norm),
    ("mlp.gate_proj.weight", "ffn_gate.weight", .gate),
    ("mlp.gate_proj.bias", "ffn_gate.bias", .bias),
    ("mlp.up_proj.weight", "ffn_up.weight", .up),
    ("mlp.up_proj.bias", "ffn_up.bias", .bias),
    ("mlp.down_proj.weight", "ffn_down.weight", .down),
    ("mlp.down_proj.bias", "ffn_down.bias", .bias),
  ]

  private static func table(_ configuration: LlamaConfiguration) -> TensorTable {
    let (width, vocabulary) = (configuration.hiddenSize, configuration.vocabularySize)
    let shapes = partShapes(configuration)
    var entries = [
      TensorEntry(
        name: "model.embed_tokens.weight", gguf: "token_embd.weight", role: .tokenEmbedding,
        shape: [vocabulary, width])
    ]
    for block in 0..<configuration.blockCount {
      for part in parts {
        guard let shape = shapes[part.name] else { continue }
        entries.append(
          TensorEntry(
            name: "model.layers.\(block).\(part.name)", gguf: "blk.\(block).\(part.gguf)", role: part.role,
            shape: shape))
      }
    }
    entries.append(
      TensorEntry(name: "model.norm.weight", gguf: "output_norm.weight", role: .norm, shape: [width]))
    entries.append(
      TensorEntry(
        name: "lm_head.weight", gguf: "output.weight", role: .output, shape: [vocabulary, width],
        isOptional: configuration.tiesEmbeddings != false))
    return TensorTable(entries)
  }

  /// The shapes of the parts that a block of this configuration has.
  private static func partShapes(_ configuration: LlamaConfiguration) -> [String: [Int]] {
    let (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    let (queries, keys) = (configuration.queryWidth, configuration.keyValueWidth)
    var shapes = [
      "input_layernorm.weight": [width], "post_attention_layernorm.weight": [width],
      "self_attn.q_proj.weight": [queries, width], "self_attn.k_proj.weight": [keys, width],
      "self_attn.v_proj.weight": [keys, width], "self_attn.o_proj.weight": [width, queries],
      "mlp.gate_proj.weight": [inner, width], "mlp.up_proj.weight": [inner, width],
      "mlp.down_proj.weight": [width, inner],
    ]
    if configuration.hasAttentionBias {
      shapes["self_attn.q_proj.bias"] = [queries]
      shapes["self_attn.k_proj.bias"] = [keys]
      shapes["self_attn.v_proj.bias"] = [keys]
    }
    if configuration.hasAttentionOutputBias { shapes["self_attn.o_proj.bias"] = [width] }
    if configuration.hasMLPBias {
      shapes["mlp.gate_proj.bias"] = [inner]
      shapes["mlp.up_proj.bias"] = [inner]
      shapes["mlp.down_proj.bias"] = [width]
    }
    if configuration.variant == .qwen3 {
      shapes["self_attn.q_norm.weight"] = [configuration.headLength]
      shapes["self_attn.k_norm.weight"] = [configuration.headLength]
    }
    return shapes
  }

  public func makeModel(_ checkpoint: Checkpoint) throws -> RunnableModel {
    .language(try LlamaModel(configuration, checkpoint: checkpoint))
  }
}

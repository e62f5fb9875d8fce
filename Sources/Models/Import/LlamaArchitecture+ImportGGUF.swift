import Glibc
package import ModelFiles
import TensorCore

extension LlamaArchitecture {
  package static func configuration(fromGGUF source: ModelSource) throws -> JSONValue {
    let metadata = GGUFMetadata(source.metadata)
    if let experts = try metadata.integer(".expert_count"), experts > 0 {
      throw ModelError(.unsupported, "", "a mixture of \(experts) experts is not run here")
    }
    let tensors = Dictionary(source.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    guard let embedding = tensors["token_embd.weight"] else {
      throw ModelError(.missingTensor, "", "tensor 'token_embd.weight' is missing")
    }
    let window = try metadata.integer(".attention.sliding_window").flatMap { $0 > 0 ? $0 : nil }
    let isMistral = metadata.architecture == "llama" && window != nil
    let heads = try metadata.required(".attention.head_count")
    let width = try metadata.required(".embedding_length")
    let headLength = try headLength(metadata, heads: heads, width: width)
    let context = try metadata.required(".context_length")
    let variant = isMistral ? "mistral" : metadata.architecture
    var object = JSONObject([
      ("architectures", .array([.string(className(variant))])),
      ("model_type", .string(variant)),
      ("hidden_act", .string("silu")),
      ("hidden_size", .integer(width)),
      ("intermediate_size", .integer(try metadata.required(".feed_forward_length"))),
      ("num_hidden_layers", .integer(try metadata.required(".block_count"))),
      ("num_attention_heads", .integer(heads)),
      ("num_key_value_heads", .integer(try metadata.integer(".attention.head_count_kv") ?? heads)),
      ("head_dim", .integer(headLength)),
      ("max_position_embeddings", .integer(context)),
      ("vocab_size", .integer(try metadata.integer(".vocab_size") ?? embedding.rowCount)),
      ("rms_norm_eps", .number(shortest(metadata.number(".attention.layer_norm_rms_epsilon") ?? 1e-5))),
      ("tie_word_embeddings", .bool(tensors["output.weight"] == nil)),
    ])
    if variant == "llama" {
      object["attention_bias"] = .bool(tensors["blk.0.attn_q.bias"] != nil)
      object["mlp_bias"] = .bool(tensors["blk.0.ffn_up.bias"] != nil)
    } else if variant == "qwen3" {
      object["attention_bias"] = .bool(tensors["blk.0.attn_q.bias"] != nil)
    }
    setWindows(&object, window: window, metadata: metadata, variant: variant)
    try setTokens(&object, metadata)
    try setRotary(&object, metadata, tensors: tensors, headLength: headLength, context: context)
    return .object(loadable(object))
  }

  private static func className(_ variant: String) -> String {
    variant.prefix(1).uppercased() + variant.dropFirst() + "ForCausalLM"
  }

  private static func headLength(_ metadata: GGUFMetadata, heads: Int, width: Int) throws -> Int {
    let rotated = try metadata.integer(".rope.dimension_count")
    let given = try metadata.integer(".attention.key_length")
    let length = given ?? (heads > 0 ? width / heads : 0)
    if let rotated, rotated != length {
      throw ModelError(
        .unsupported, "",
        "rope.dimension_count \(rotated) of heads of length \(length): partial rotation is not run here")
    }
    if let values = try metadata.integer(".attention.value_length"), values != length {
      throw ModelError(
        .unsupported, "", "keys of length \(length) with values of length \(values) are not run here")
    }
    return length
  }

  private static func setWindows(
    _ object: inout JSONObject, window: Int?, metadata: GGUFMetadata, variant: String
  ) {
    guard let window else { return }
    object["sliding_window"] = .integer(window)
    guard variant != "mistral" else { return }
    object["use_sliding_window"] = .bool(true)
    if case .array(let pattern, _)? = metadata[".attention.sliding_window_pattern"] {
      object["layer_types"] = .array(
        pattern.map { .string($0 == .bool(true) ? "sliding_attention" : "full_attention") })
    } else {
      object["max_window_layers"] = .integer(0)
    }
  }

  private static func setTokens(_ object: inout JSONObject, _ metadata: GGUFMetadata) throws {
    for (key, name) in [("bos", "bos_token_id"), ("eos", "eos_token_id")] {
      if let id = try metadata.integer("tokenizer.ggml.\(key)_token_id"), id < 0xFFFF_FFFF {
        object[name] = .integer(id)
      }
    }
  }

  private static func setRotary(
    _ object: inout JSONObject, _ metadata: GGUFMetadata, tensors: [String: StoredTensor], headLength: Int,
    context: Int
  ) throws {
    let base = metadata.number(".rope.freq_base") ?? 10000
    object["rope_theta"] = .number(base)
    let factor = shortest(
      metadata.number(".rope.scaling.factor") ?? metadata.number(".rope.scale_linear") ?? 0)
    if let table = tensors["rope_freqs.weight"] {
      let divisors = try table.values()
      guard divisors.count == headLength / 2 else {
        throw ModelError(
          .wrongShape, "",
          "tensor 'rope_freqs.weight' has \(divisors.count) elements, heads of length \(headLength) need \(headLength / 2)"
        )
      }
      object["rope_scaling"] = scaling(divisors, base: base, headLength: headLength)
      return
    }
    switch metadata.string(".rope.scaling.type") ?? (factor > 1 ? "linear" : "none") {
    case "none": break
    case "linear":
      guard factor > 0 else { break }
      object["rope_scaling"] = .object(
        JSONObject([("rope_type", .string("linear")), ("factor", .number(factor))]))
    case "yarn":
      var yarn = JSONObject([("rope_type", .string("yarn")), ("factor", .number(factor))])
      yarn["original_max_position_embeddings"] = .integer(
        try metadata.integer(".rope.scaling.original_context_length") ?? context)
      if let fast = metadata.number(".rope.scaling.yarn_beta_fast") { yarn["beta_fast"] = .number(fast) }
      if let slow = metadata.number(".rope.scaling.yarn_beta_slow") { yarn["beta_slow"] = .number(slow) }
      let ratio =
        metadata.number(".rope.scaling.yarn_attn_factor") ?? metadata.number(".rope.scaling.attn_factor")
      if let ratio { yarn["attention_factor"] = .number(ratio * RotaryScaling.magnitude(factor)) }
      object["rope_scaling"] = .object(yarn)
    case let type:
      throw ModelError(.unsupported, "", "rotary scaling '\(type)' is not run here")
    }
  }

  /// The llama3 parameters that give these divisors, or a list of factors when none do.
  ///
  /// GGUF keeps only the table; the published models use low 1 and high 4, and a power of two as their first context.
  package static func scaling(_ divisors: [Float], base: Double, headLength: Int) -> JSONValue {
    let factor = Double(divisors.max() ?? 1)
    for exponent in 4...20 {
      var candidate = RotaryScaling(base: base, headLength: headLength)
      let original = Double(1 << exponent)
      candidate.kind = .llama3(factor: factor, low: 1, high: 4, original: original)
      guard let table = candidate.divisors else { continue }
      if zip(table, divisors).allSatisfy({ abs($0 - $1) <= 1e-5 * $1 }) {
        return .object(
          JSONObject([
            ("rope_type", .string("llama3")), ("factor", .number(factor)), ("low_freq_factor", .number(1)),
            ("high_freq_factor", .number(4)), ("original_max_position_embeddings", .integer(1 << exponent)),
          ]))
      }
    }
    let list = JSONValue.array(divisors.map { .number(Double($0)) })
    return .object(
      JSONObject([
        ("rope_type", .string("longrope")), ("short_factor", list), ("long_factor", list),
        ("attention_factor", .number(1)),
      ]))
  }

  /// A 32-bit number as the shortest decimal that gives it back: 9.999999747378752e-06 → 1e-05.
  package static func shortest(_ number: Double) -> Double { Double("\(Float(number))") ?? number }
}

public import ModelFiles
import TensorCore

// Names, row order and metadata as llama.cpp's converter writes them for "llama", "qwen2" and "qwen3".
extension LlamaArchitecture {
  public func canonicalName(ofGGUF name: String) -> String? { table[gguf: name]?.name }
  public func ggufName(of name: String) -> String? { table[name]?.gguf }

  /// llama.cpp turns neighbouring elements of a head, `transformers` the halves of a head: within each head, row
  /// `2 i + s` of the GGUF file is row `s · headLength / 2 + i`.
  public func ggufRowOrder(of name: String) -> [Int]? {
    guard configuration.variant.permutesInGGUF, let entry = table[name] else { return nil }
    let isRotated = name.contains(".q_proj.") || name.contains(".k_proj.")
    guard isRotated, let rows = entry.shape.first else { return nil }
    let length = configuration.headLength
    return (0..<rows).map { row in
      let (head, place) = row.quotientAndRemainder(dividingBy: length)
      return head * length + place % 2 * (length / 2) + place / 2
    }
  }

  public var ggufTables: [StoredTensor] {
    guard let divisors = configuration.rotary.divisors else { return [] }
    return [StoredTensor(name: "rope_freqs.weight", vector: divisors)]
  }

  public func ggufEntries(name: String) -> [GGUFEntry] {
    let prefix = configuration.variant.ggufName
    func entry(_ key: String, _ value: Int) -> GGUFEntry {
      GGUFEntry("\(prefix).\(key)", .uint32(UInt32(value)))
    }
    func entry(_ key: String, _ value: Double) -> GGUFEntry {
      GGUFEntry("\(prefix).\(key)", .float32(Float(value)))
    }
    var entries = [
      GGUFEntry("general.architecture", .string(prefix)), GGUFEntry("general.type", .string("model")),
      GGUFEntry("general.name", .string(name)),
      entry("block_count", configuration.blockCount), entry("context_length", configuration.contextLength),
      entry("embedding_length", configuration.hiddenSize),
      entry("feed_forward_length", configuration.intermediateSize),
      entry("attention.head_count", configuration.headCount),
      entry("attention.head_count_kv", configuration.keyValueHeadCount),
      entry("rope.freq_base", configuration.rotary.base),
      entry("attention.layer_norm_rms_epsilon", Double(configuration.normEpsilon)),
      entry("attention.key_length", configuration.headLength),
      entry("attention.value_length", configuration.headLength),
      entry("vocab_size", configuration.vocabularySize),
      entry("rope.dimension_count", configuration.headLength),
    ]
    if let window = configuration.windows.compactMap({ $0 }).first {
      entries.append(entry("attention.sliding_window", window))
      if configuration.windows.contains(nil) {
        let pattern = configuration.windows.map { GGUFValue.bool($0 != nil) }
        entries.append(
          GGUFEntry("\(prefix).attention.sliding_window_pattern", .array(pattern, elementType: 7)))
      }
    }
    return entries + scalingEntries(prefix)
  }

  private func scalingEntries(_ prefix: String) -> [GGUFEntry] {
    let rotary = configuration.rotary
    func entry(_ key: String, _ value: Double) -> GGUFEntry {
      GGUFEntry("\(prefix).rope.scaling.\(key)", .float32(Float(value)))
    }
    func type(_ name: String) -> GGUFEntry { GGUFEntry("\(prefix).rope.scaling.type", .string(name)) }
    switch rotary.kind {
    case .plain, .llama3: return []
    case .factors:
      return rotary.attentionFactor == 1 ? [] : [entry("attn_factor", Double(rotary.attentionFactor))]
    case .linear(let factor): return [type("linear"), entry("factor", factor)]
    case .yarn(let yarn):
      var entries = [
        type("yarn"), entry("factor", yarn.factor),
        GGUFEntry("\(prefix).rope.scaling.original_context_length", .uint32(UInt32(yarn.original))),
      ]
      if yarn.betaFast != 32 { entries.append(entry("yarn_beta_fast", yarn.betaFast)) }
      if yarn.betaSlow != 1 { entries.append(entry("yarn_beta_slow", yarn.betaSlow)) }
      let usual = RotaryScaling.magnitude(yarn.factor)
      let ratio = Double(rotary.attentionFactor) / usual
      if abs(ratio - 1) > 1e-6 { entries.append(entry("attn_factor", ratio)) }
      return entries
    }
  }
}

package import ModelFiles

extension LlamaArchitecture: ResizableArchitecture {
  package var blockCount: Int { configuration.blockCount }
  package var blocksAddToStream: Bool { true }
  package func blockPrefix(_ index: Int) -> String { "model.layers.\(index)." }

  package func unitCount(_ kind: StructureKind) -> Int? {
    switch kind {
    case .heads: configuration.keyValueHeadCount
    case .neurons: configuration.intermediateSize
    case .width: configuration.hiddenSize
    }
  }

  package func obstacle(_ kind: StructureKind) -> String { "" }

  package func coupledTensors(_ kind: StructureKind, block: Int) -> [CoupledTensor] {
    let (attention, feedForward) = (blockPrefix(block) + "self_attn.", blockPrefix(block) + "mlp.")
    let length = configuration.headLength
    switch kind {
    case .heads:
      let group = configuration.headCount / configuration.keyValueHeadCount * length
      return [("q_proj", group), ("k_proj", length), ("v_proj", length)].flatMap { name, length in
        ["weight", "bias"].map { CoupledTensor(attention + "\(name).\($0)", .rows, length: length) }
      } + [CoupledTensor(attention + "o_proj.weight", .columns, length: group)]
    case .neurons:
      return ["gate_proj", "up_proj"].flatMap { name in
        ["weight", "bias"].map { CoupledTensor(feedForward + "\(name).\($0)", .rows) }
      } + [CoupledTensor(feedForward + "down_proj.weight", .columns)]
    case .width:
      return [
        CoupledTensor("model.embed_tokens.weight", .columns), CoupledTensor("lm_head.weight", .columns),
        CoupledTensor("model.norm.weight", .rows),
      ] + (0..<blockCount).flatMap(widthTensors)
    }
  }

  private func widthTensors(block: Int) -> [CoupledTensor] {
    let prefix = blockPrefix(block)
    let readers = [
      "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj",
    ]
    let writers = ["self_attn.o_proj", "mlp.down_proj"]
    return readers.map { CoupledTensor(prefix + $0 + ".weight", .columns) }
      + writers.flatMap {
        [CoupledTensor(prefix + $0 + ".weight", .rows), CoupledTensor(prefix + $0 + ".bias", .rows)]
      }
      + ["input_layernorm", "post_attention_layernorm"].map { CoupledTensor(prefix + $0 + ".weight", .rows) }
  }

  package func configuration(
    _ object: JSONObject, keepingBlocks blocks: [Int], sizes: [StructureKind: Int]
  ) -> JSONObject {
    var result = object
    result["num_hidden_layers"] = .integer(blocks.count)
    if let types = object["layer_types"]?.arrayValue, types.count == blockCount {
      result["layer_types"] = .array(blocks.map { types[$0] })
    }
    if let first = object["max_window_layers"]?.intValue {
      result["max_window_layers"] = .integer(blocks.filter { $0 < first }.count)
    }
    if let neurons = sizes[.neurons] { result["intermediate_size"] = .integer(neurons) }
    if let heads = sizes[.heads] {
      result["num_attention_heads"] = .integer(
        heads * (configuration.headCount / configuration.keyValueHeadCount))
      result["num_key_value_heads"] = .integer(heads)
    }
    if let width = sizes[.width] { result["hidden_size"] = .integer(width) }
    // Loaders take the quotient of the two sizes where nothing is said.
    if sizes[.heads] != nil || sizes[.width] != nil {
      result["head_dim"] = .integer(configuration.headLength)
    }
    return Self.loadable(result)
  }

  /// The configuration as `transformers` loads it: since version 5 a Llama's `hidden_size` has to be a multiple of its heads, whatever
  /// `head_dim` says. Mistral's, which computes the same where there are no biases and no window, need not.
  static func loadable(_ object: JSONObject) -> JSONObject {
    guard object["model_type"]?.stringValue == "llama", let width = object["hidden_size"]?.intValue,
      let heads = object["num_attention_heads"]?.intValue, heads > 0, width % heads != 0,
      object["attention_bias"]?.boolValue != true, object["mlp_bias"]?.boolValue != true
    else { return object }
    var result = object
    result["model_type"] = .string("mistral")
    result["architectures"] = .array([.string("MistralForCausalLM")])
    result["sliding_window"] = .null
    return result
  }
}

/// One tensor of a llama2.c file, in Hugging Face's terms.
struct Llama2cTensor {
  /// The Hugging Face name.
  let name: String
  /// The sizes.
  let shape: [Int]
  /// The first byte of the values: float32, or int8 of a quantized tensor.
  let start: Int
  /// The first byte of the scales of a quantized tensor.
  let scales: Int?
  /// The heads whose rows are stored in interleaved order, or 0: see ``Llama2cRows``.
  let rotatedHeads: Int

  /// The number of elements.
  var elementCount: Int { shape.reduce(1, *) }
}

/// Where the tensors of a llama2.c file lie.
struct Llama2cLayout {
  /// The tensors in the model's order.
  let tensors: [Llama2cTensor]
  /// The file's size that the header asks for.
  let fileSize: Int

  /// Lays out the file that `header` describes, or returns nil when its size overflows.
  init?(_ header: Llama2cHeader) {
    var writer = Writer(place: header.dataStart, groupSize: header.groupSize)
    switch header.version {
    case .v0: writer.addVersion0(header)
    case .v1, .v2: writer.addVersion1(header)
    }
    guard !writer.overflowed else { return nil }
    fileSize = writer.place
    tensors = Llama2cLayout.inModelOrder(writer.tensors, layers: header.layers)
  }

  private static func inModelOrder(_ tensors: [Llama2cTensor], layers: Int) -> [Llama2cTensor] {
    // Embedding, then layer by layer, then the rest: the order in which Hugging Face writes them.
    func rank(_ name: String) -> Int {
      if name == "model.embed_tokens.weight" { return -1 }
      let parts = name.split(separator: ".")
      return parts.count > 2 && parts[1] == "layers" ? Int(parts[2]) ?? layers : layers
    }
    return tensors.enumerated().map { (rank($1.name), $0, $1) }.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(
      \.2)
  }

  /// Places tensors one behind another.
  private struct Writer {
    var place: Int
    let groupSize: Int
    var overflowed = false
    var tensors: [Llama2cTensor] = []

    mutating func addVersion0(_ header: Llama2cHeader) {
      add("model.embed_tokens", [header.vocabulary, header.width])
      addLayers(header, "input_layernorm", [header.width])
      addAttention(header)
      addLayers(header, "post_attention_layernorm", [header.width])
      addFeedForward(header)
      add("model.norm", [header.width])
      // freqs_cos and freqs_sin, which the sizes say.
      skip(header.positions, header.headSize / 2, 8)
      if !header.isShared { add("lm_head", [header.vocabulary, header.width]) }
    }

    mutating func addVersion1(_ header: Llama2cHeader) {
      addLayers(header, "input_layernorm", [header.width])
      addLayers(header, "post_attention_layernorm", [header.width])
      add("model.norm", [header.width])
      let isQuantized = header.version == .v2
      add("model.embed_tokens", [header.vocabulary, header.width], isQuantized: isQuantized)
      addAttention(header, isQuantized: isQuantized)
      addFeedForward(header, isQuantized: isQuantized)
      if !header.isShared { add("lm_head", [header.vocabulary, header.width], isQuantized: isQuantized) }
    }

    private mutating func addAttention(_ header: Llama2cHeader, isQuantized: Bool = false) {
      let (width, keyWidth) = (header.width, header.keyWidth)
      addLayers(header, "self_attn.q_proj", [width, width], heads: header.heads, isQuantized: isQuantized)
      addLayers(
        header, "self_attn.k_proj", [keyWidth, width], heads: header.keyHeads, isQuantized: isQuantized)
      addLayers(header, "self_attn.v_proj", [keyWidth, width], isQuantized: isQuantized)
      addLayers(header, "self_attn.o_proj", [width, width], isQuantized: isQuantized)
    }

    private mutating func addFeedForward(_ header: Llama2cHeader, isQuantized: Bool = false) {
      addLayers(header, "mlp.gate_proj", [header.hidden, header.width], isQuantized: isQuantized)
      addLayers(header, "mlp.down_proj", [header.width, header.hidden], isQuantized: isQuantized)
      addLayers(header, "mlp.up_proj", [header.hidden, header.width], isQuantized: isQuantized)
    }

    private mutating func addLayers(
      _ header: Llama2cHeader, _ name: String, _ shape: [Int], heads: Int = 0, isQuantized: Bool = false
    ) {
      for layer in 0..<header.layers {
        add("model.layers.\(layer).\(name)", shape, heads: heads, isQuantized: isQuantized)
      }
    }

    private mutating func add(_ name: String, _ shape: [Int], heads: Int = 0, isQuantized: Bool = false) {
      let start = place
      guard isQuantized else {
        skip(shape[0], shape.count > 1 ? shape[1] : 1, 4)
        return append(name, shape, start: start, scales: nil, heads: heads)
      }
      skip(shape[0], shape[1], 1)
      let scales = place
      let count = scales &- start
      if count % groupSize != 0 { overflowed = true }
      skip(count / groupSize, 1, 4)
      append(name, shape, start: start, scales: scales, heads: heads)
    }

    private mutating func append(_ name: String, _ shape: [Int], start: Int, scales: Int?, heads: Int) {
      guard !overflowed else { return }
      tensors.append(
        Llama2cTensor(name: name + ".weight", shape: shape, start: start, scales: scales, rotatedHeads: heads)
      )
    }

    private mutating func skip(_ rows: Int, _ columns: Int, _ bytes: Int) {
      let (count, first) = rows.multipliedReportingOverflow(by: columns)
      let (size, second) = count.multipliedReportingOverflow(by: bytes)
      let (end, third) = place.addingReportingOverflow(size)
      overflowed = overflowed || first || second || third
      place = end
    }
  }
}

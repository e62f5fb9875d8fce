import TensorCore

/// Word, position and type embeddings of a BERT encoder (all tokens are of type 0), normalised.
struct BertEmbedding: Sendable {
  let words, positions, types: WeightMatrix
  let norm: BertModel.Norm

  init(_ tensors: TensorLookup) throws {
    words = try tensors.matrix("embeddings.word_embeddings.weight")
    positions = try tensors.matrix("embeddings.position_embeddings.weight")
    types = try tensors.matrix("embeddings.token_type_embeddings.weight")
    norm = try BertModel.Norm(tensors, "embeddings.LayerNorm")
  }

  /// The first block's input: one row a token.
  func embed(
    _ tokens: [Int], positions places: [Int], configuration: BertConfiguration,
    into hidden: UnsafeMutablePointer<Float>
  ) {
    let width = configuration.hiddenSize
    let (type, scratch) = (FloatBuffer(count: width), FloatBuffer(count: tokens.count * width))
    types.decodeRow(0, into: type.base)
    nonisolated(unsafe) let hidden = hidden
    Parallel.forEach(tokens.count) { place in
      let (row, scratch) = (hidden + place * width, scratch.base + place * width)
      words.decodeRow(tokens[place], into: row)
      positions.decodeRow(places[place], into: scratch)
      Kernels.add(scratch, to: row, count: width)
      Kernels.add(type.base, to: row, count: width)
      norm.apply(row, epsilon: configuration.normEpsilon)
    }
  }
}

/// What the blocks of a BERT encoder do to activations; holds no weights.
struct BertBlockRunner: Sendable {
  let configuration: BertConfiguration
  let attention: Attention

  init(_ configuration: BertConfiguration) {
    self.configuration = configuration
    attention = Attention(
      heads: configuration.headCount, keyValueHeads: configuration.headCount,
      headLength: configuration.hiddenSize / configuration.headCount, isCausal: false)
  }

  /// x = attention(Wq h, Wk h, Wv h), each sequence by itself.
  func attend(
    _ block: BertModel.Block, hidden: UnsafePointer<Float>, sequences: [Range<Int>],
    into x: UnsafeMutablePointer<Float>
  ) {
    let (tokens, width) = (sequences.last?.upperBound ?? 0, configuration.hiddenSize)
    let (queries, keys, values, attended) = (
      FloatBuffer(count: tokens * width), FloatBuffer(count: tokens * width),
      FloatBuffer(count: tokens * width), FloatBuffer(count: tokens * width)
    )
    block.query.apply(hidden, tokens: tokens, into: queries.base)
    block.key.apply(hidden, tokens: tokens, into: keys.base)
    block.value.apply(hidden, tokens: tokens, into: values.base)
    for range in sequences {
      let offset = range.lowerBound * width
      let stride = (head: attention.headLength, token: width)
      attention.apply(
        queries: queries, offset: range.lowerBound, tokens: range.count, first: 0,
        keys: .init(base: keys, offset: offset, headStride: stride.head, tokenStride: stride.token),
        values: .init(base: values, offset: offset, headStride: stride.head, tokenStride: stride.token),
        count: range.count, window: nil, into: attended)
    }
    x.update(from: attended.base, count: tokens * width)
  }

  /// x = gelu(Wup h).
  func feedForward(
    _ block: BertModel.Block, hidden: UnsafePointer<Float>, tokens: Int, into x: UnsafeMutablePointer<Float>
  ) {
    block.up.apply(hidden, tokens: tokens, into: x)
    let inner = configuration.intermediateSize
    nonisolated(unsafe) let x = x
    Parallel.forEach(tokens) { token in
      let row = x + token * inner
      switch configuration.activation {
      case .gelu: Kernels.gelu(row, count: inner)
      case .geluTanh: Kernels.geluTanh(row, count: inner)
      case .relu: Kernels.relu(row, count: inner)
      }
    }
  }

  /// hidden = norm(hidden + W x), where W is the last layer of attention or feed-forward.
  func finish(
    _ layer: Linear, _ norm: BertModel.Norm, _ x: UnsafePointer<Float>, tokens: Int,
    hidden: UnsafeMutablePointer<Float>
  ) {
    let width = configuration.hiddenSize
    let update = FloatBuffer(count: tokens * width)
    layer.apply(x, tokens: tokens, into: update.base)
    nonisolated(unsafe) let hidden = hidden
    Parallel.forEach(tokens) { token in
      let row = hidden + token * width
      Kernels.add(update.base + token * width, to: row, count: width)
      norm.apply(row, epsilon: configuration.normEpsilon)
    }
  }
}

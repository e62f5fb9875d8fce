package import TensorCore

/// A BERT encoder that runs its weights in their stored formats.
///
/// Sequences of different lengths run packed, one behind the other, so nothing is spent on padding.
package struct BertModel: EncoderModel {
  /// Layer normalisation.
  struct Norm: Sendable {
    let weight, bias: FloatVector

    init(_ tensors: TensorLookup, _ name: String) throws {
      weight = try tensors.vector(name + ".weight")
      bias = try tensors.vector(name + ".bias")
    }

    func apply(_ x: UnsafeMutablePointer<Float>, epsilon: Float) {
      Kernels.layerNorm(
        x, weight: weight.values, bias: bias.values, epsilon: epsilon, into: x, count: weight.values.count)
    }
  }

  /// A block's layers.
  struct Block: Sendable {
    let query, key, value, attentionOutput, up, down: Linear
    let attentionNorm, outputNorm: Norm

    init(_ tensors: TensorLookup, index: Int) throws {
      let name = "encoder.layer.\(index)."
      query = try Linear(tensors, name + "attention.self.query")
      key = try Linear(tensors, name + "attention.self.key")
      value = try Linear(tensors, name + "attention.self.value")
      attentionOutput = try Linear(tensors, name + "attention.output.dense")
      up = try Linear(tensors, name + "intermediate.dense")
      down = try Linear(tensors, name + "output.dense")
      attentionNorm = try Norm(tensors, name + "attention.output.LayerNorm")
      outputNorm = try Norm(tensors, name + "output.LayerNorm")
    }
  }

  /// The tokens that run together, unless one sequence alone is longer; bounds the memory of activations.
  package static let batchLength = 512

  let configuration: BertConfiguration
  let words, positions, types: WeightMatrix
  let norm: Norm
  let blocks: [Block]
  let attention: Attention

  package var embeddingLength: Int { configuration.hiddenSize }
  package var contextLength: Int { configuration.contextLength }

  /// Takes the tensors of `checkpoint`; mapped weights stay mapped.
  package init(_ configuration: BertConfiguration, checkpoint: Checkpoint) throws {
    let tensors = TensorLookup(checkpoint)
    self.configuration = configuration
    words = try tensors.matrix("embeddings.word_embeddings.weight")
    positions = try tensors.matrix("embeddings.position_embeddings.weight")
    types = try tensors.matrix("embeddings.token_type_embeddings.weight")
    norm = try Norm(tensors, "embeddings.LayerNorm")
    blocks = try (0..<configuration.blockCount).map { try Block(tensors, index: $0) }
    attention = Attention(
      heads: configuration.headCount, keyValueHeads: configuration.headCount,
      headLength: configuration.hiddenSize / configuration.headCount, isCausal: false)
  }

  package func embed(_ sequences: [[Int]]) -> Matrix {
    precondition(
      sequences.allSatisfy { !$0.isEmpty && $0.count <= contextLength }, "a sequence is empty or too long")
    precondition(
      sequences.allSatisfy { $0.allSatisfy { $0 >= 0 && $0 < words.rows } },
      "a token outside of the vocabulary")
    var result = Matrix(rows: sequences.count, columns: embeddingLength)
    var start = 0
    while start < sequences.count {
      var (end, total) = (start + 1, sequences[start].count)
      while end < sequences.count, total + sequences[end].count <= Self.batchLength {
        total += sequences[end].count
        end += 1
      }
      run(Batch(sequences[start..<end]), firstRow: start, into: &result)
      start = end
    }
    return result
  }
}

extension BertModel {
  /// Sequences that run together.
  private struct Batch: Sendable {
    let tokens: [Int]
    /// Each token's place in its sequence.
    let positions: [Int]
    /// Each sequence's tokens.
    let ranges: [Range<Int>]

    init(_ sequences: ArraySlice<[Int]>) {
      tokens = sequences.flatMap { $0 }
      positions = sequences.flatMap { Array($0.indices) }
      var start = 0
      ranges = sequences.map { sequence in
        defer { start += sequence.count }
        return start..<start + sequence.count
      }
    }
  }

  /// Activations of one batch.
  private final class Workspace: Sendable {
    let hidden, update, queries, keys, values, inner: FloatBuffer

    init(_ configuration: BertConfiguration, tokens: Int) {
      let size = tokens * configuration.hiddenSize
      hidden = FloatBuffer(count: size)
      update = FloatBuffer(count: size)
      queries = FloatBuffer(count: size)
      keys = FloatBuffer(count: size)
      values = FloatBuffer(count: size)
      inner = FloatBuffer(count: tokens * configuration.intermediateSize)
    }
  }

  private func run(_ batch: Batch, firstRow: Int, into result: inout Matrix) {
    let work = Workspace(configuration, tokens: batch.tokens.count)
    embedTokens(batch, work: work)
    for block in blocks {
      attend(block, batch: batch, work: work)
      feedForward(block, tokens: batch.tokens.count, work: work)
    }
    for (place, range) in batch.ranges.enumerated() {
      let vector = pool(range, work.hidden)
      for column in vector.indices { result[firstRow + place, column] = vector[column] }
    }
  }

  /// Word, position and type embeddings (all tokens are of type 0), normalised.
  private func embedTokens(_ batch: Batch, work: Workspace) {
    let width = configuration.hiddenSize
    let type = FloatBuffer(count: width)
    types.decodeRow(0, into: type.base)
    Parallel.forEach(batch.tokens.count) { place in
      let (row, scratch) = (work.hidden.base + place * width, work.update.base + place * width)
      words.decodeRow(batch.tokens[place], into: row)
      positions.decodeRow(batch.positions[place], into: scratch)
      Kernels.add(scratch, to: row, count: width)
      Kernels.add(type.base, to: row, count: width)
      norm.apply(row, epsilon: configuration.normEpsilon)
    }
  }

  /// hidden = norm(hidden + Wo · attention(Wq x, Wk x, Wv x)), each sequence by itself.
  private func attend(_ block: Block, batch: Batch, work: Workspace) {
    let (tokens, width) = (batch.tokens.count, configuration.hiddenSize)
    block.query.apply(work.hidden, tokens: tokens, into: work.queries)
    block.key.apply(work.hidden, tokens: tokens, into: work.keys)
    block.value.apply(work.hidden, tokens: tokens, into: work.values)
    for range in batch.ranges {
      let offset = range.lowerBound * width
      let stride = (head: attention.headLength, token: width)
      attention.apply(
        queries: work.queries, offset: range.lowerBound, tokens: range.count, first: 0,
        keys: .init(base: work.keys, offset: offset, headStride: stride.head, tokenStride: stride.token),
        values: .init(base: work.values, offset: offset, headStride: stride.head, tokenStride: stride.token),
        count: range.count, window: nil, into: work.update)
    }
    block.attentionOutput.apply(work.update, tokens: tokens, into: work.queries)
    addAndNormalize(work.queries, block.attentionNorm, tokens: tokens, work: work)
  }

  /// hidden = norm(hidden + Wdown · gelu(Wup x)).
  private func feedForward(_ block: Block, tokens: Int, work: Workspace) {
    block.up.apply(work.hidden, tokens: tokens, into: work.inner)
    let inner = configuration.intermediateSize
    Parallel.forEach(tokens) { token in
      let row = work.inner.base + token * inner
      switch configuration.activation {
      case .gelu: Kernels.gelu(row, count: inner)
      case .geluTanh: Kernels.geluTanh(row, count: inner)
      case .relu: Kernels.relu(row, count: inner)
      }
    }
    block.down.apply(work.inner, tokens: tokens, into: work.update)
    addAndNormalize(work.update, block.outputNorm, tokens: tokens, work: work)
  }

  private func addAndNormalize(_ update: FloatBuffer, _ norm: Norm, tokens: Int, work: Workspace) {
    let width = configuration.hiddenSize
    Parallel.forEach(tokens) { token in
      let row = work.hidden.base + token * width
      Kernels.add(update.base + token * width, to: row, count: width)
      norm.apply(row, epsilon: configuration.normEpsilon)
    }
  }

  /// One vector for a sequence.
  private func pool(_ range: Range<Int>, _ hidden: FloatBuffer) -> [Float] {
    let width = configuration.hiddenSize
    var sums = [Double](repeating: 0, count: width)
    let tokens = configuration.pooling == .cls ? range.prefix(1) : range
    for token in tokens {
      for column in 0..<width { sums[column] += Double(hidden.base[token * width + column]) }
    }
    for column in 0..<width { sums[column] /= Double(tokens.count) }
    if configuration.normalizes {
      let length = max(sums.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
      for column in 0..<width { sums[column] /= length }
    }
    return sums.map { Float($0) }
  }
}

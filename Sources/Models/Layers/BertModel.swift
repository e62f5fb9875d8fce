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
  let embedding: BertEmbedding
  let blocks: [Block]
  let runner: BertBlockRunner

  package var embeddingLength: Int { configuration.hiddenSize }
  package var contextLength: Int { configuration.contextLength }

  /// Takes the tensors of `checkpoint`; mapped weights stay mapped.
  package init(_ configuration: BertConfiguration, checkpoint: Checkpoint) throws {
    let tensors = TensorLookup(checkpoint)
    self.configuration = configuration
    embedding = try BertEmbedding(tensors)
    blocks = try (0..<configuration.blockCount).map { try Block(tensors, index: $0) }
    runner = BertBlockRunner(configuration)
  }

  package func embed(_ sequences: [[Int]]) -> Matrix {
    precondition(
      sequences.allSatisfy { !$0.isEmpty && $0.count <= contextLength }, "a sequence is empty or too long")
    precondition(
      sequences.allSatisfy { $0.allSatisfy { $0 >= 0 && $0 < embedding.words.rows } },
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

  private func run(_ batch: Batch, firstRow: Int, into result: inout Matrix) {
    let tokens = batch.tokens.count
    let hidden = FloatBuffer(count: tokens * configuration.hiddenSize)
    let attended = FloatBuffer(count: tokens * configuration.hiddenSize)
    let inner = FloatBuffer(count: tokens * configuration.intermediateSize)
    embedding.embed(
      batch.tokens, positions: batch.positions, configuration: configuration, into: hidden.base)
    for block in blocks {
      runner.attend(block, hidden: hidden.base, sequences: batch.ranges, into: attended.base)
      runner.finish(
        block.attentionOutput, block.attentionNorm, attended.base, tokens: tokens, hidden: hidden.base)
      runner.feedForward(block, hidden: hidden.base, tokens: tokens, into: inner.base)
      runner.finish(block.down, block.outputNorm, inner.base, tokens: tokens, hidden: hidden.base)
    }
    for (place, range) in batch.ranges.enumerated() {
      let vector = pool(range, hidden)
      for column in vector.indices { result[firstRow + place, column] = vector[column] }
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

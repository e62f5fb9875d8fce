package import Models
import TensorCore

/// A BERT encoder whose weights have gradients: embeddings, attention both ways, norms behind each sublayer.
package struct BertGraph<Number: TrainingNumber>: Sendable {
  /// A layer normalisation's places.
  struct Norm: Sendable {
    let weight, bias: Int
  }

  /// A block's places.
  struct Block: Sendable {
    let query, key, value, attentionOutput, up, down: DenseLayer
    let attentionNorm, outputNorm: Norm
  }

  let configuration: BertConfiguration
  let words, positions, types: Int
  let embeddingNorm: Norm
  let blocks: [Block]
  /// Whether products are of numbers rounded to bfloat16, where the processor multiplies such.
  package var rounds = false

  package var width: Int { configuration.hiddenSize }
  var inner: Int { configuration.intermediateSize }
  var heads: Int { configuration.headCount }
  var headLength: Int { width / heads }
  var epsilon: Number { Number(configuration.normEpsilon) }

  /// The model of a configuration, its weights laid out as in `layout`.
  ///
  /// - Throws: ``ModelError`` when a tensor is missing.
  package init(_ configuration: BertConfiguration, layout: ParameterLayout) throws {
    func place(_ name: String) throws -> Int {
      guard let entry = layout[name] else {
        throw ModelError(.missingTensor, "", "tensor '\(name)' is missing")
      }
      return entry.offset
    }
    func layer(_ name: String, _ outputs: Int, _ inputs: Int) throws -> DenseLayer {
      DenseLayer(
        weight: try place(name + ".weight"), bias: layout[name + ".bias"]?.offset, outputs: outputs,
        inputs: inputs)
    }
    func norm(_ name: String) throws -> Norm {
      Norm(weight: try place(name + ".weight"), bias: try place(name + ".bias"))
    }
    self.configuration = configuration
    words = try place("embeddings.word_embeddings.weight")
    positions = try place("embeddings.position_embeddings.weight")
    types = try place("embeddings.token_type_embeddings.weight")
    embeddingNorm = try norm("embeddings.LayerNorm")
    let (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    blocks = try (0..<configuration.blockCount).map { index in
      let name = "encoder.layer.\(index)."
      return Block(
        query: try layer(name + "attention.self.query", width, width),
        key: try layer(name + "attention.self.key", width, width),
        value: try layer(name + "attention.self.value", width, width),
        attentionOutput: try layer(name + "attention.output.dense", width, width),
        up: try layer(name + "intermediate.dense", inner, width),
        down: try layer(name + "output.dense", width, inner),
        attentionNorm: try norm(name + "attention.output.LayerNorm"),
        outputNorm: try norm(name + "output.LayerNorm"))
    }
  }

  /// What a block made on its way, of `tokens` rows each.
  final class Activations: Sendable {
    let hidden, queries, keys, values, attended, sum, middle, up, raw, secondSum: NumberBuffer<Number>
    /// Means and inverse deviations of both norms.
    let statistics, secondStatistics: NumberBuffer<Number>

    init(_ graph: BertGraph, hidden: NumberBuffer<Number>, tokens: Int) {
      func rows(_ width: Int) -> NumberBuffer<Number> { NumberBuffer(tokens * width, isZeroed: false) }
      self.hidden = hidden
      (queries, keys, values) = (rows(graph.width), rows(graph.width), rows(graph.width))
      (attended, sum, middle, secondSum) = (
        rows(graph.width), rows(graph.width), rows(graph.width), rows(graph.width)
      )
      (up, raw) = (rows(graph.inner), rows(graph.inner))
      (statistics, secondStatistics) = (rows(2), rows(2))
    }
  }

  /// A forward pass.
  package final class Pass {
    let packed: PackedTokens
    var activations: [Activations] = []
    let embedded, statistics: NumberBuffer<Number>
    /// What the attention of the block that was asked for reads.
    package fileprivate(set) var relations: AttentionRows<Number>?
    /// The last states.
    package fileprivate(set) var final: NumberBuffer<Number>

    init(_ graph: BertGraph, _ packed: PackedTokens) {
      self.packed = packed
      embedded = NumberBuffer(packed.count * graph.width, isZeroed: false)
      statistics = NumberBuffer(packed.count * 2, isZeroed: false)
      final = NumberBuffer(packed.count * graph.width, isZeroed: false)
    }
  }
}

// MARK: Forward

extension BertGraph {
  /// Runs documents.
  ///
  /// - Parameter relations: the block whose queries, keys and values are kept.
  package func forward(
    _ packed: PackedTokens, weights: UnsafePointer<Number>, remembers: Bool, relations: Int? = nil
  ) -> Pass {
    let pass = Pass(self, packed)
    let (tokens, width) = (packed.count, width)
    embed(pass, weights)
    var hidden = NumberBuffer<Number>(tokens * width, isZeroed: false)
    normalize(pass.embedded, embeddingNorm, weights, into: hidden, pass.statistics)
    for (index, block) in blocks.enumerated() {
      let made = Activations(self, hidden: hidden, tokens: tokens)
      block.query.apply(hidden, tokens, weights, into: made.queries, rounds: rounds)
      block.key.apply(hidden, tokens, weights, into: made.keys, rounds: rounds)
      block.value.apply(hidden, tokens, weights, into: made.values, rounds: rounds)
      let count = heads
      Parallel.forEach(packed.documents.count * count) { index in
        let (document, head) = (packed.documents[index / count], index % count)
        Number.attend(
          self.head(head, document, made), into: made.attended.base + self.place(head, document))
      }
      if relations == index {
        pass.relations = AttentionRows(queries: made.queries, keys: made.keys, values: made.values)
      }
      made.sum.take(hidden)
      block.attentionOutput.apply(
        made.attended, tokens, weights, into: made.sum, adding: true, rounds: rounds)
      normalize(made.sum, block.attentionNorm, weights, into: made.middle, made.statistics)
      block.up.apply(made.middle, tokens, weights, into: made.raw, rounds: rounds)
      made.up.take(made.raw)
      let activation = configuration.activation
      made.up.forEachPiece { start, count in
        Activation.apply(activation, made.up.base + start, count: count)
      }
      made.secondSum.take(made.middle)
      block.down.apply(made.up, tokens, weights, into: made.secondSum, adding: true, rounds: rounds)
      let next = NumberBuffer<Number>(tokens * width, isZeroed: false)
      normalize(made.secondSum, block.outputNorm, weights, into: next, made.secondStatistics)
      if remembers { pass.activations.append(made) }
      hidden = next
    }
    pass.final = hidden
    return pass
  }

  private func embed(_ pass: Pass, _ weights: UnsafePointer<Number>) {
    let (width, packed, embedded) = (width, pass.packed, pass.embedded)
    for document in packed.documents {
      for (position, place) in document.enumerated() {
        let row = embedded.base + place * width
        row.update(from: weights + words + packed.tokens[place] * width, count: width)
        Number.addScaled(1, weights + positions + position * width, to: row, count: width)
        Number.addScaled(1, weights + types, to: row, count: width)
      }
    }
  }

  private func normalize(
    _ x: NumberBuffer<Number>, _ norm: Norm, _ weights: UnsafePointer<Number>, into y: NumberBuffer<Number>,
    _ statistics: NumberBuffer<Number>
  ) {
    let (width, epsilon) = (width, epsilon)
    nonisolated(unsafe) let (weight, bias) = (weights + norm.weight, weights + norm.bias)
    Parallel.forEach(x.count / width, work: 4 * x.count) { row in
      let (input, output) = (x.base + row * width, y.base + row * width)
      var (mean, square): (Number, Number) = (0, 0)
      for i in 0..<width { mean += input[i] }
      mean /= Number(width)
      for i in 0..<width { square += (input[i] - mean) * (input[i] - mean) }
      let inverse = 1 / (square / Number(width) + epsilon).squareRoot()
      for i in 0..<width { output[i] = (input[i] - mean) * inverse * weight[i] + bias[i] }
      (statistics.base[2 * row], statistics.base[2 * row + 1]) = (mean, inverse)
    }
  }

  private func place(_ head: Int, _ document: Range<Int>) -> Int {
    document.lowerBound * width + head * headLength
  }

  private func head(_ head: Int, _ document: Range<Int>, _ made: Activations) -> AttentionHead<Number> {
    let place = place(head, document)
    return AttentionHead(
      queries: made.queries.base + place, queryStride: width, keys: made.keys.base + place,
      values: made.values.base + place, keyStride: width, group: 1, length: headLength,
      tokens: document.count, window: nil, isCausal: false)
  }
}

// MARK: Backward

extension BertGraph {
  /// Goes back through a pass; gradients by the weights are added to `gradients`.
  ///
  /// - Parameters:
  ///   - gradient: by ``Pass/final``; overwritten.
  ///   - relations: gradients by a block's queries, keys and values, besides.
  package func goBack(
    _ pass: Pass, gradient: NumberBuffer<Number>,
    relations: (block: Int, gradients: AttentionRows<Number>)? = nil, weights: UnsafePointer<Number>,
    into gradients: UnsafeMutablePointer<Number>
  ) {
    for (index, (block, made)) in zip(blocks, pass.activations).enumerated().reversed() {
      goBack(
        block, made, pass.packed, gradient, weights, gradients,
        adding: relations?.block == index ? relations?.gradients : nil)
    }
    normalizeBack(pass.embedded, embeddingNorm, pass.statistics, weights, gradient, gradients)
    for document in pass.packed.documents {
      for (position, place) in document.enumerated() {
        let row = gradient.base + place * width
        let token = pass.packed.tokens[place]
        Number.addScaled(1, row, to: gradients + words + token * width, count: width)
        Number.addScaled(1, row, to: gradients + positions + position * width, count: width)
        Number.addScaled(1, row, to: gradients + types, count: width)
      }
    }
  }

  private func goBack(
    _ block: Block, _ made: Activations, _ packed: PackedTokens, _ gradient: NumberBuffer<Number>,
    _ weights: UnsafePointer<Number>, _ gradients: UnsafeMutablePointer<Number>,
    adding rows: AttentionRows<Number>? = nil
  ) {
    let tokens = packed.count
    normalizeBack(made.secondSum, block.outputNorm, made.secondStatistics, weights, gradient, gradients)
    block.down.addWeights(gradient, made.up, tokens, gradients, rounds: rounds)
    let up = NumberBuffer<Number>(tokens * inner, isZeroed: false)
    block.down.goBack(gradient, tokens, weights, into: up, adding: false, rounds: rounds)
    let activation = configuration.activation
    up.forEachPiece { start, count in
      Activation.goBack(activation, made.raw.base + start, gradient: up.base + start, count: count)
    }
    block.up.addWeights(up, made.middle, tokens, gradients, rounds: rounds)
    block.up.goBack(up, tokens, weights, into: gradient, adding: true, rounds: rounds)
    normalizeBack(made.sum, block.attentionNorm, made.statistics, weights, gradient, gradients)
    block.attentionOutput.addWeights(gradient, made.attended, tokens, gradients, rounds: rounds)
    let output = NumberBuffer<Number>(tokens * width, isZeroed: false)
    block.attentionOutput.goBack(gradient, tokens, weights, into: output, adding: false, rounds: rounds)
    let (queries, keys, values) = (
      rows?.queries ?? NumberBuffer<Number>(tokens * width),
      rows?.keys ?? NumberBuffer<Number>(tokens * width),
      rows?.values ?? NumberBuffer<Number>(tokens * width)
    )
    let count = heads
    Parallel.forEach(packed.documents.count * count) { index in
      let (document, head) = (packed.documents[index / count], index % count)
      let place = self.place(head, document)
      AttentionBack(
        head: self.head(head, document, made), output: output.base + place, queries: queries.base + place,
        keys: keys.base + place, values: values.base + place
      ).goBack()
    }
    for (layer, part) in [(block.query, queries), (block.key, keys), (block.value, values)] {
      layer.addWeights(part, made.hidden, tokens, gradients, rounds: rounds)
      layer.goBack(part, tokens, weights, into: gradient, adding: true, rounds: rounds)
    }
  }

  /// Back through a norm, in place; sums over rows are made in pieces of fixed size.
  private func normalizeBack(
    _ x: NumberBuffer<Number>, _ norm: Norm, _ statistics: NumberBuffer<Number>,
    _ weights: UnsafePointer<Number>, _ gradient: NumberBuffer<Number>,
    _ gradients: UnsafeMutablePointer<Number>
  ) {
    let (width, piece) = (width, 64)
    let rows = x.count / width
    let pieces = (rows + piece - 1) / piece
    let sums = NumberBuffer<Number>(2 * pieces * width)
    nonisolated(unsafe) let weight = weights + norm.weight
    Parallel.forEach(pieces, work: 8 * x.count) { index in
      let (byWeight, byBias) = (sums.base + 2 * index * width, sums.base + (2 * index + 1) * width)
      for row in index * piece..<min(rows, (index + 1) * piece) {
        let (input, g) = (x.base + row * width, gradient.base + row * width)
        let (mean, inverse) = (statistics.base[2 * row], statistics.base[2 * row + 1])
        var (sum, dot): (Number, Number) = (0, 0)
        for i in 0..<width {
          let (scaled, slope) = ((input[i] - mean) * inverse, g[i] * weight[i])
          byWeight[i] += g[i] * scaled
          byBias[i] += g[i]
          sum += slope
          dot += slope * scaled
        }
        (sum, dot) = (sum / Number(width), dot / Number(width))
        for i in 0..<width {
          g[i] = inverse * (g[i] * weight[i] - sum - (input[i] - mean) * inverse * dot)
        }
      }
    }
    for index in 0..<pieces {
      Number.addScaled(1, sums.base + 2 * index * width, to: gradients + norm.weight, count: width)
      Number.addScaled(1, sums.base + (2 * index + 1) * width, to: gradients + norm.bias, count: width)
    }
  }
}

import TensorCore

extension LlamaGraph {
  /// Goes back through a pass.
  ///
  /// - Parameters:
  ///   - gradient: by ``Pass/final``; overwritten.
  ///   - others: gradients by states inside the model, by the number of blocks before them.
  ///   - relations: gradients by a block's queries, keys and values, besides.
  ///   - gradients: where those by the weights are added; the output matrix's are the caller's.
  package func goBack(
    _ pass: Pass, gradient: NumberBuffer<Number>, adding others: [Int: NumberBuffer<Number>] = [:],
    relations: (block: Int, gradients: AttentionRows<Number>)? = nil, weights: UnsafePointer<Number>,
    into gradients: UnsafeMutablePointer<Number>
  ) {
    let tokens = pass.packed.count
    if let last = pass.inputs.last {
      normalizeBack(
        last, norm, pass.inverse, rows: tokens, width: width, weights, gradient: gradient, into: gradients)
    }
    if let other = others[blocks.count] { gradient.add(other) }
    for index in blocks.indices.reversed() {
      let hidden = pass.inputs[index]
      let made = pass.activations[index] ?? run(blocks[index], hidden, pass, weights)
      goBackThroughFeedForward(blocks[index], made, gradient, weights, gradients)
      goBackThroughAttention(
        blocks[index], made, hidden, pass, gradient, weights, gradients,
        adding: relations?.block == index ? relations?.gradients : nil)
      pass.activations[index] = nil
      if let other = others[index] { gradient.add(other) }
    }
    // The same token may stand in several places: one thread adds them, in order.
    for (place, token) in pass.packed.tokens.enumerated() {
      Number.addScaled(
        1, gradient.base + place * width, to: gradients + embedding + token * width, count: width)
    }
  }

  func goBackThroughFeedForward(
    _ block: Block, _ made: Activations, _ gradient: NumberBuffer<Number>, _ weights: UnsafePointer<Number>,
    _ gradients: UnsafeMutablePointer<Number>
  ) {
    let tokens = gradient.count / width
    let product = product(of: made)
    addWeights(block.down, gradient, product, tokens, gradients)
    backwards(block.down, gradient, tokens, weights, into: product, adding: false)
    let piece = 4096
    let (gate, up) = (made.gate, made.up)
    Parallel.forEach((gate.count + piece - 1) / piece) { index in
      let (start, count) = (index * piece, min(piece, gate.count - index * piece))
      Number.siluBack(
        gate: gate.base + start, up: up.base + start, gradient: product.base + start, count: count)
    }
    addWeights(block.gate, gate, made.secondNormed, tokens, gradients)
    addWeights(block.up, up, made.secondNormed, tokens, gradients)
    let input = NumberBuffer<Number>(tokens * width, isZeroed: false)
    backwards(block.gate, gate, tokens, weights, into: input, adding: false)
    backwards(block.up, up, tokens, weights, into: input, adding: true)
    normalizeBack(
      made.middle, block.feedForwardNorm, made.secondInverse, rows: tokens, width: width, weights,
      gradient: input, into: gradients)
    gradient.add(input)
  }

  func goBackThroughAttention(
    _ block: Block, _ made: Activations, _ hidden: NumberBuffer<Number>, _ pass: Pass,
    _ gradient: NumberBuffer<Number>, _ weights: UnsafePointer<Number>,
    _ gradients: UnsafeMutablePointer<Number>, adding rows: AttentionRows<Number>? = nil
  ) {
    let tokens = pass.packed.count
    addWeights(block.attentionOutput, gradient, made.attended, tokens, gradients)
    let output = NumberBuffer<Number>(tokens * queryWidth, isZeroed: false)
    backwards(block.attentionOutput, gradient, tokens, weights, into: output, adding: false)
    let queries = rows?.queries ?? NumberBuffer<Number>(tokens * queryWidth)
    let keys = rows?.keys ?? NumberBuffer<Number>(tokens * keyWidth)
    let values = rows?.values ?? NumberBuffer<Number>(tokens * keyWidth)
    let documents = pass.packed.documents
    let count = keyHeads
    Parallel.forEach(documents.count * count) { index in
      let (document, head) = (documents[index / count], index % count)
      let (wide, narrow) = (
        self.place(head, document), document.lowerBound * self.keyWidth + head * self.headLength
      )
      AttentionBack(
        head: self.head(head, document, made, block.window), output: output.base + wide,
        queries: queries.base + wide, keys: keys.base + narrow, values: values.base + narrow
      ).goBack()
    }
    turnBack(queries, made.rawQueries, block.queryNorm, heads, pass, weights, gradients)
    turnBack(keys, made.rawKeys, block.keyNorm, keyHeads, pass, weights, gradients)
    let input = NumberBuffer<Number>(tokens * width, isZeroed: false)
    for (place, (layer, part)) in [(block.query, queries), (block.key, keys), (block.value, values)]
      .enumerated()
    {
      addWeights(layer, part, made.normed, tokens, gradients)
      backwards(layer, part, tokens, weights, into: input, adding: place > 0)
    }
    normalizeBack(
      hidden, block.attentionNorm, made.inverse, rows: tokens, width: width, weights, gradient: input,
      into: gradients)
    gradient.add(input)
  }

  // MARK: Parts

  /// dW += dYᵀ · X, db += Σ dY, X being what the matrix has read.
  private func addWeights(
    _ layer: Layer, _ gradient: NumberBuffer<Number>, _ x: NumberBuffer<Number>, _ tokens: Int,
    _ gradients: UnsafeMutablePointer<Number>
  ) {
    layer.addWeights(
      gradient, read(x, layer.weight, layer.inputs), tokens, gradients, rounds: rounds)
  }

  /// dX = dY · W, or dX += dY · W.
  private func backwards(
    _ layer: Layer, _ gradient: NumberBuffer<Number>, _ tokens: Int, _ weights: UnsafePointer<Number>,
    into result: NumberBuffer<Number>, adding: Bool
  ) {
    layer.goBack(gradient, tokens, weights, into: result, adding: adding, rounds: rounds)
  }

  /// Back through an RMS norm; the gradient by its weight is summed in pieces of fixed size.
  private func normalizeBack(
    _ x: NumberBuffer<Number>, _ norm: Int, _ inverse: NumberBuffer<Number>?, rows: Int, width: Int,
    _ weights: UnsafePointer<Number>, gradient: NumberBuffer<Number>,
    into gradients: UnsafeMutablePointer<Number>
  ) {
    let piece = 64
    let pieces = (rows + piece - 1) / piece
    let sums = NumberBuffer<Number>(pieces * width)
    nonisolated(unsafe) let weight = weights + norm
    let epsilon = epsilon
    Parallel.forEach(pieces, work: 8 * rows * width) { index in
      let scratch = inverse == nil ? NumberBuffer<Number>(width, isZeroed: false) : nil
      for row in index * piece..<min(rows, (index + 1) * piece) {
        let (input, g) = (x.base + row * width, gradient.base + row * width)
        let factor =
          inverse.map { $0.base[row] } ?? scratch.map {
            Number.normalize(input, weight: weight, epsilon: epsilon, into: $0.base, count: width)
          } ?? 0
        Number.addScaledProduct(factor, input, g, to: sums.base + index * width, count: width)
        Number.normalizeBack(input, weight: weight, inverse: factor, gradient: g, count: width)
      }
    }
    for index in 0..<pieces {
      Number.addScaled(1, sums.base + index * width, to: gradients + norm, count: width)
    }
  }

  /// Back through the rotation and the norms of heads.
  private func turnBack(
    _ gradient: NumberBuffer<Number>, _ raw: NumberBuffer<Number>?, _ norm: Int?, _ heads: Int, _ pass: Pass,
    _ weights: UnsafePointer<Number>, _ gradients: UnsafeMutablePointer<Number>
  ) {
    let row = heads * headLength
    let rotary = pass.rotary
    Parallel.forEach(pass.packed.count, work: 2 * gradient.count) { token in
      rotary.apply(gradient.base + token * row, token: token, heads: heads, isBack: true)
    }
    guard let norm, let raw else { return }
    normalizeBack(
      raw, norm, nil, rows: pass.packed.count * heads, width: headLength, weights, gradient: gradient,
      into: gradients)
  }
}

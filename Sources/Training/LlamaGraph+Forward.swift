import TensorCore

extension LlamaGraph {
  /// Runs documents.
  ///
  /// - Parameters:
  ///   - remembers: whether ``goBack(_:gradient:adding:weights:into:)`` follows; else only the last states are kept.
  ///   - taps: the states that are kept besides, by the number of blocks before them.
  ///   - relations: the block whose queries, keys and values are kept.
  package func forward(
    _ packed: PackedTokens, weights: UnsafePointer<Number>, remembers: Bool, taps: Set<Int> = [],
    relations: Int? = nil
  ) -> Pass {
    let pass = Pass(self, packed)
    let (tokens, width) = (packed.count, width)
    var hidden = NumberBuffer<Number>(tokens * width, isZeroed: false)
    nonisolated(unsafe) let weights = weights
    let embedded = hidden
    Parallel.forEach(tokens, work: tokens * width) { token in
      (embedded.base + token * width).update(
        from: weights + embedding + packed.tokens[token] * width, count: width)
    }
    for (index, block) in blocks.enumerated() {
      if taps.contains(index) { pass.taps[index] = hidden }
      let made = run(block, hidden, pass, weights)
      if relations == index {
        pass.relations = AttentionRows(queries: made.queries, keys: made.keys, values: made.values)
      }
      let next = NumberBuffer<Number>(tokens * width, isZeroed: false)
      finish(block, made, into: next, weights)
      if remembers {
        pass.inputs.append(hidden)
        pass.activations.append(recomputes ? nil : made)
      }
      hidden = next
    }
    if taps.contains(blocks.count) { pass.taps[blocks.count] = hidden }
    if remembers { pass.inputs.append(hidden) }
    normalize(hidden, norm, weights, rows: tokens, into: pass.final, pass.inverse)
    return pass
  }

  /// Everything of a block but its last layer.
  func run(
    _ block: Block, _ hidden: NumberBuffer<Number>, _ pass: Pass, _ weights: UnsafePointer<Number>
  ) -> Activations {
    let tokens = pass.packed.count
    let made = Activations(self, tokens: tokens, hasHeadNorms: block.queryNorm != nil)
    readAttention(block, hidden, made, pass.rotary, weights)
    attend(block, made, pass)
    finishAttention(block, hidden, made, weights)
    return made
  }

  /// Queries, keys and values.
  func readAttention(
    _ block: Block, _ hidden: NumberBuffer<Number>, _ made: Activations, _ rotary: Rotary,
    _ weights: UnsafePointer<Number>
  ) {
    let tokens = hidden.count / width
    normalize(hidden, block.attentionNorm, weights, rows: tokens, into: made.normed, made.inverse)
    apply(block.query, made.normed, tokens, weights, into: made.queries)
    apply(block.key, made.normed, tokens, weights, into: made.keys)
    apply(block.value, made.normed, tokens, weights, into: made.values)
    made.rawQueries?.take(made.queries)
    made.rawKeys?.take(made.keys)
    turnHeads(made.queries, block.queryNorm, heads, rotary, weights)
    turnHeads(made.keys, block.keyNorm, keyHeads, rotary, weights)
  }

  /// Everything between attention and the last layer.
  func finishAttention(
    _ block: Block, _ hidden: NumberBuffer<Number>, _ made: Activations, _ weights: UnsafePointer<Number>
  ) {
    let tokens = hidden.count / width
    made.middle.take(hidden)
    apply(block.attentionOutput, made.attended, tokens, weights, into: made.middle, adding: true)
    normalize(
      made.middle, block.feedForwardNorm, weights, rows: tokens, into: made.secondNormed, made.secondInverse)
    apply(block.gate, made.secondNormed, tokens, weights, into: made.gate)
    apply(block.up, made.secondNormed, tokens, weights, into: made.up)
  }

  /// next = middle + down(silu(gate) · up).
  func finish(
    _ block: Block, _ made: Activations, into next: NumberBuffer<Number>, _ weights: UnsafePointer<Number>
  ) {
    next.take(made.middle)
    apply(
      block.down, product(of: made), next.count / width, weights, into: next, adding: true)
  }

  /// silu(gate) · up.
  func product(of made: Activations) -> NumberBuffer<Number> {
    let result = NumberBuffer<Number>(made.gate.count, isZeroed: false)
    let piece = 4096
    let (gate, up) = (made.gate, made.up)
    Parallel.forEach((gate.count + piece - 1) / piece) { index in
      let (start, count) = (index * piece, min(piece, gate.count - index * piece))
      (result.base + start).update(from: gate.base + start, count: count)
      Number.siluMultiply(result.base + start, up: up.base + start, count: count)
    }
    return result
  }

  /// y = W x + b, or y += W x + b.
  private func apply(
    _ layer: Layer, _ x: NumberBuffer<Number>, _ tokens: Int, _ weights: UnsafePointer<Number>,
    into y: NumberBuffer<Number>, adding: Bool = false
  ) {
    layer.apply(
      read(x, layer.weight, layer.inputs), tokens, weights, into: y, adding: adding, rounds: rounds)
  }

  /// What the matrix at a place among the weights reads of rows: rounded, where its inputs are.
  func read(_ x: NumberBuffer<Number>, _ place: Int, _ width: Int) -> NumberBuffer<Number> {
    rounding?.read(x, matrixAt: place, width: width) ?? x
  }

  /// What the output matrix reads of last states.
  package func outputInput(_ final: NumberBuffer<Number>) -> NumberBuffer<Number> {
    read(final, output, width)
  }

  func normalize(
    _ x: NumberBuffer<Number>, _ weight: Int, _ weights: UnsafePointer<Number>, rows: Int,
    into y: NumberBuffer<Number>, _ inverse: NumberBuffer<Number>
  ) {
    nonisolated(unsafe) let weight = weights + weight
    Parallel.forEach(rows, work: 4 * rows * width) { row in
      inverse.base[row] = Number.normalize(
        x.base + row * width, weight: weight, epsilon: epsilon, into: y.base + row * width, count: width)
    }
  }

  /// Norms of heads, where there are any, then the rotation, in place.
  private func turnHeads(
    _ x: NumberBuffer<Number>, _ norm: Int?, _ heads: Int, _ rotary: Rotary,
    _ weights: UnsafePointer<Number>
  ) {
    let length = headLength
    nonisolated(unsafe) let weight = norm.map { weights + $0 }
    Parallel.forEach(x.count / (heads * length), work: 4 * x.count) { token in
      let row = x.base + token * heads * length
      if let weight {
        for head in 0..<heads {
          let place = row + head * length
          _ = Number.normalize(place, weight: weight, epsilon: epsilon, into: place, count: length)
        }
      }
      rotary.apply(row, token: token, heads: heads, isBack: false)
    }
  }

  private func attend(_ block: Block, _ made: Activations, _ pass: Pass) {
    let documents = pass.packed.documents
    let (output, count) = (made.attended, keyHeads)
    Parallel.forEach(documents.count * count) { index in
      let (document, head) = (documents[index / count], index % count)
      let call = self.head(head, document, made, block.window)
      Number.attend(call, into: output.base + self.place(head, document))
    }
  }

  /// Where a key head's queries of a document begin.
  func place(_ head: Int, _ document: Range<Int>) -> Int {
    document.lowerBound * queryWidth + head * (heads / keyHeads) * headLength
  }

  func head(
    _ head: Int, _ document: Range<Int>, _ made: Activations, _ window: Int?
  ) -> AttentionHead<Number> {
    let keyPlace = document.lowerBound * keyWidth + head * headLength
    return AttentionHead(
      queries: made.queries.base + place(head, document), queryStride: queryWidth,
      keys: made.keys.base + keyPlace, values: made.values.base + keyPlace, keyStride: keyWidth,
      group: heads / keyHeads, length: headLength, tokens: document.count, window: window)
  }
}

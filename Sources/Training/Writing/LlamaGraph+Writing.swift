import TensorCore

extension LlamaGraph where Number == Float {
  /// Texts that the model writes, all of them at once, token by token, with kept keys and values: each goes on from the beginning
  /// that it is given, up to `length` tokens.
  ///
  /// Tokens are drawn from the whole distribution, each text with a generator of its own, so they are the same on any number of
  /// threads.
  ///
  /// - Parameters:
  ///   - beginnings: of one length, which is at least 1 and at most `length`.
  ///   - ends: the tokens that end a text; they are the last of it.
  package func write(
    _ beginnings: [[Int]], length: Int, temperature: Double, ends: Set<Int> = [], seed: UInt64,
    weights: UnsafePointer<Float>
  ) -> [[Int]] {
    guard let given = beginnings.first?.count, given > 0 else { return [] }
    let cache = WritingCache(self, texts: beginnings.count, length: length)
    var texts = beginnings
    var open = Array(beginnings.indices)
    var generators = beginnings.indices.map {
      SeededGenerator(seed: seed ^ (UInt64($0 + 1) &* 0x9E37_79B9_7F4A_7C15))
    }
    for place in 0..<length - 1 {
      let states = next(texts.map { place < $0.count ? $0[place] : $0[$0.count - 1] }, place, cache, weights)
      guard place + 1 >= given else { continue }
      let logits = NumberBuffer<Float>(open.count * vocabulary)
      let rows = NumberBuffer<Float>(open.count * width, isZeroed: false)
      for (row, text) in open.enumerated() {
        (rows.base + row * width).update(from: states.base + text * width, count: width)
      }
      let read = outputInput(rows)
      Float.add(
        TrainingProduct(
          a: (UnsafePointer(read.base), width, 1), b: (weights + output, 1, width), c: logits.base,
          row: vocabulary, rows: open.count, inner: width, columns: vocabulary, rounds: rounds))
      withExtendedLifetime(read) {}
      let drawn = NumberBuffer<Double>(open.map { generators[$0].uniform() })
      let vocabulary = vocabulary
      Parallel.forEach(open.count, work: 8 * open.count * vocabulary) { row in
        drawn.base[row] = Double(
          LlamaGraph.drawn(
            logits.base + row * vocabulary, vocabulary, temperature: temperature, at: drawn.base[row]))
      }
      for (row, text) in open.enumerated() { texts[text].append(Int(drawn.base[row])) }
      open.removeAll { ends.contains(texts[$0][texts[$0].count - 1]) }
      if open.isEmpty { break }
    }
    return texts
  }

  /// The token at a place in the distribution of a row of logits.
  private static func drawn(
    _ logits: UnsafeMutablePointer<Float>, _ count: Int, temperature: Double, at place: Double
  ) -> Int {
    let best = Kernels.argmax(logits, count: count)
    let top = logits[best]
    guard top.isFinite else { return best }
    var sum = 0.0
    for token in 0..<count {
      let weight = Double.exponential(Double(logits[token] - top) / temperature)
      logits[token] = Float(weight)
      sum += Double(logits[token])
    }
    var rest = place * sum
    for token in 0..<count {
      rest -= Double(logits[token])
      if rest < 0 { return token }
    }
    return best
  }

  /// The last states of each text's token at a place, whose keys and values are kept.
  private func next(
    _ tokens: [Int], _ place: Int, _ cache: WritingCache, _ weights: UnsafePointer<Float>
  ) -> NumberBuffer<Float> {
    let (count, width) = (tokens.count, width)
    // One token a document: its place in the text is told by the rotation.
    var hidden = NumberBuffer<Float>(count * width, isZeroed: false)
    for (text, token) in tokens.enumerated() {
      (hidden.base + text * width).update(from: weights + embedding + token * width, count: width)
    }
    for (index, block) in blocks.enumerated() {
      let made = Activations(self, tokens: count, hasHeadNorms: false)
      readAttention(block, hidden, made, cache.rotary(place, count), weights)
      cache.keep(made.keys, made.values, block: index, place)
      attend(block, made, cache, index, place)
      finishAttention(block, hidden, made, weights)
      let next = NumberBuffer<Float>(count * width, isZeroed: false)
      finish(block, made, into: next, weights)
      hidden = next
    }
    let result = NumberBuffer<Float>(count * width, isZeroed: false)
    let inverse = NumberBuffer<Float>(count, isZeroed: false)
    normalize(hidden, norm, weights, rows: count, into: result, inverse)
    return result
  }

  /// Attention of one token of each text to those that are kept.
  private func attend(
    _ block: Block, _ made: Activations, _ cache: WritingCache, _ index: Int, _ place: Int
  ) {
    let (count, length) = (heads, headLength)
    let group = heads / keyHeads
    let first = block.window.map { max(0, place + 1 - $0) } ?? 0
    let scale = 1 / Float(length).squareRoot()
    let (queryWidth, keyWidth) = (queryWidth, keyWidth)
    Parallel.forEach(cache.texts * count, work: 4 * cache.texts * count * (place + 1) * length) { task in
      let (text, head) = (task / count, task % count)
      let query = made.queries.base + text * queryWidth + head * length
      let result = made.attended.base + text * queryWidth + head * length
      let from = cache.start(text, index) + head / group * length
      let scores = NumberBuffer<Float>(place + 1, isZeroed: false)
      for key in first...place {
        scores.base[key] =
          scale * Float(Float.dot(query, cache.keys.base + from + key * keyWidth, count: length))
      }
      Float.softmax(scores.base + first, count: place + 1 - first)
      result.update(repeating: 0, count: length)
      for key in first...place {
        Float.addScaled(
          scores.base[key], cache.values.base + from + key * keyWidth, to: result, count: length)
      }
    }
  }
}

/// Keys and values of texts that are being written.
final class WritingCache: Sendable {
  let keys, values: NumberBuffer<Float>
  let texts: Int
  private let length, width, blocks: Int
  private let turns: LlamaGraph<Float>.Rotary

  init(_ graph: LlamaGraph<Float>, texts: Int, length: Int) {
    (self.texts, self.length) = (texts, length)
    (width, blocks) = (graph.keyWidth, graph.blocks.count)
    keys = NumberBuffer(texts * blocks * length * width, isZeroed: false)
    values = NumberBuffer(texts * blocks * length * width, isZeroed: false)
    turns = LlamaGraph<Float>.Rotary(
      graph, PackedTokens([[Int](repeating: 0, count: length)]))
  }

  /// Where a text's rows of a block begin.
  func start(_ text: Int, _ block: Int) -> Int { (text * blocks + block) * length * width }

  /// The rotation of a place, for each text.
  func rotary(_ place: Int, _ count: Int) -> LlamaGraph<Float>.Rotary {
    LlamaGraph<Float>.Rotary(turns, positions: [Int](repeating: place, count: count))
  }

  /// Keeps the rows of a place.
  func keep(_ keys: NumberBuffer<Float>, _ values: NumberBuffer<Float>, block: Int, _ place: Int) {
    for text in 0..<texts {
      let target = start(text, block) + place * width
      (self.keys.base + target).update(from: keys.base + text * width, count: width)
      (self.values.base + target).update(from: values.base + text * width, count: width)
    }
  }
}

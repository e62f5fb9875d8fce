/// Back through causal attention of one key head in one document, a tile of queries after the other: weights are made again, so
/// nothing of size tokens × tokens is kept.
struct AttentionBack<Number: TrainingNumber> {
  let head: AttentionHead<Number>
  /// The gradient by the outputs, laid out like the queries.
  let output: UnsafePointer<Number>
  /// The gradients by queries, keys and values, laid out like them; added to what is there.
  let queries, keys, values: UnsafeMutablePointer<Number>

  /// The queries of a tile.
  private static var tile: Int { 64 }

  func goBack() {
    let weights = NumberBuffer<Number>(Self.tile * head.tokens, isZeroed: false)
    let slopes = NumberBuffer<Number>(Self.tile * head.tokens, isZeroed: false)
    for member in 0..<head.group {
      for start in stride(from: 0, to: head.tokens, by: Self.tile) {
        goBack(member, start..<min(head.tokens, start + Self.tile), weights.base, slopes.base)
      }
    }
  }

  private func goBack(
    _ member: Int, _ rows: Range<Int>, _ weights: UnsafeMutablePointer<Number>,
    _ slopes: UnsafeMutablePointer<Number>
  ) {
    let (length, key) = (head.length, head.keyStride)
    let first = head.firstKey(rows.lowerBound)
    let columns = head.endKey(rows.upperBound - 1) - first
    let place = rows.lowerBound * head.queryStride + member * length
    let (q, dO) = (head.queries + place, output + place)
    let (k, v) = (head.keys + first * key, head.values + first * key)
    (weights).update(repeating: 0, count: rows.count * columns)
    (slopes).update(repeating: 0, count: rows.count * columns)
    // S = scale · Q Kᵀ, and P = softmax S over what each query sees.
    add((q, head.queryStride, 1), (k, 1, key), rows.count, length, columns, head.scale, weights, columns)
    for row in 0..<rows.count {
      let line = weights + row * columns
      let (from, to) = (
        head.firstKey(rows.lowerBound + row) - first, head.endKey(rows.lowerBound + row) - first
      )
      line.update(repeating: 0, count: from)
      Number.softmax(line + from, count: to - from)
      (line + to).update(repeating: 0, count: columns - to)
    }
    // dV += Pᵀ dO, dP = dO Vᵀ, dS = P · (dP − Σ P dP).
    let p = UnsafePointer(weights)
    add((p, 1, columns), (dO, head.queryStride, 1), columns, rows.count, length, 1, values + first * key, key)
    add((dO, head.queryStride, 1), (v, 1, key), rows.count, length, columns, 1, slopes, columns)
    for row in 0..<rows.count {
      Number.softmaxBack(p + row * columns, slopes + row * columns, count: columns)
    }
    // dQ += scale · dS K, dK += scale · dSᵀ Q.
    let s = UnsafePointer(slopes)
    add(
      (s, columns, 1), (k, key, 1), rows.count, columns, length, head.scale, queries + place, head.queryStride
    )
    add(
      (s, 1, columns), (q, head.queryStride, 1), columns, rows.count, length, head.scale, keys + first * key,
      key)
  }

  private func add(
    _ a: TrainingProduct<Number>.Factor, _ b: TrainingProduct<Number>.Factor, _ rows: Int, _ inner: Int,
    _ columns: Int, _ alpha: Number, _ c: UnsafeMutablePointer<Number>, _ row: Int
  ) {
    Number.add(
      TrainingProduct(
        a: a, b: b, c: c, row: row, rows: rows, inner: inner, columns: columns, alpha: alpha, isAlone: true))
  }
}

import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

// The kernels, where the definitions are too slow to train with.
extension Float: TrainingNumber {
  package static func exponential(_ x: Float) -> Float { expf(x) }
  package static func logarithm(_ x: Float) -> Float { logf(x) }
  package static func errorComplement(_ x: Float) -> Float { erfcf(x) }

  package static func add(_ product: TrainingProduct<Float>) {
    let p = product
    let strided = StridedProduct(
      p.a, p.b, rows: p.rows, inner: p.inner, columns: p.columns, alpha: p.alpha)
    if p.isAlone {
      strided.addAlone(to: p.c, row: p.row)
    } else if p.rounds {
      strided.addRounded(to: p.c, row: p.row)
    } else {
      strided.add(to: p.c, row: p.row)
    }
  }

  package static func normalize(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, epsilon: Float,
    into y: UnsafeMutablePointer<Float>, count: Int
  ) -> Float {
    Kernels.rmsNorm(x, weight: weight, epsilon: epsilon, into: y, count: count)
    let mean = Kernels.dotWide(x, x, count: count) / Double(count)
    return Float(1 / (mean + Double(epsilon)).squareRoot())
  }

  package static func normalizeBack(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, inverse: Float,
    gradient: UnsafeMutablePointer<Float>, count: Int
  ) { Kernels.rmsNormBack(x, weight: weight, inverse: inverse, gradient: gradient, count: count) }

  package static func addScaledProduct(
    _ a: Float, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, to sum: UnsafeMutablePointer<Float>,
    count: Int
  ) { Kernels.addScaledProduct(a, x, y, to: sum, count: count) }

  package static func addScaled(
    _ a: Float, _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, count: Int
  ) { Kernels.addScaled(a, x, to: y, count: count) }

  package static func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int) -> Double {
    Kernels.dotWide(x, y, count: count)
  }

  package static func scale(_ x: UnsafeMutablePointer<Float>, by a: Float, count: Int) {
    Kernels.scale(x, by: a, count: count)
  }

  package static func largest(_ x: UnsafePointer<Float>, count: Int) -> Int {
    Kernels.argmax(x, count: count)
  }

  package static func siluMultiply(
    _ gate: UnsafeMutablePointer<Float>, up: UnsafePointer<Float>, count: Int
  ) { Kernels.siluMultiply(gate, up: up, count: count) }

  package static func siluBack(
    gate: UnsafeMutablePointer<Float>, up: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    count: Int
  ) { Kernels.siluBack(gate: gate, up: up, gradient: gradient, count: count) }

  package static func rotate(
    _ x: UnsafeMutablePointer<Float>, cosine: UnsafePointer<Float>, sine: UnsafePointer<Float>, half: Int
  ) { Kernels.rotateHalves(x, cosine: cosine, sine: sine, half: half) }

  package static func softmax(_ x: UnsafeMutablePointer<Float>, count: Int) {
    Kernels.softmax(x, count: count)
  }

  package static func softmaxBack(_ p: UnsafePointer<Float>, _ d: UnsafeMutablePointer<Float>, count: Int) {
    Kernels.softmaxBack(p, d, count: count)
  }

  package static func attend(_ head: AttentionHead<Float>, into output: UnsafeMutablePointer<Float>) {
    Kernels.attention(
      AttentionTile(
        queries: head.queries, queryStride: head.queryStride, queryCount: head.tokens * head.group,
        group: head.group, keys: head.keys, values: head.values, cacheStride: head.keyStride,
        keyCount: head.tokens, headSize: head.length, firstPosition: 0, isCausal: head.isCausal,
        window: head.window,
        scale: head.scale, results: output, resultStride: head.queryStride))
  }
}

import Glibc

/// Operations on rows of activations.
enum VectorMath {
  static func add(_ x: [Float], to y: UnsafeMutablePointer<Float>) {
    for i in x.indices { y[i] += x[i] }
  }

  static func add(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, count: Int) {
    for i in 0..<count { y[i] += x[i] }
  }

  static func rmsNorm(
    _ x: UnsafePointer<Float>, weight: [Float], epsilon: Float, into out: UnsafeMutablePointer<Float>
  ) {
    var sum = 0.0
    for i in weight.indices { sum += Double(x[i]) * Double(x[i]) }
    let scale = Float(1 / (sum / Double(weight.count) + Double(epsilon)).squareRoot())
    for i in weight.indices { out[i] = x[i] * scale * weight[i] }
  }

  static func layerNorm(
    _ x: UnsafePointer<Float>, weight: [Float], bias: [Float], epsilon: Float, into out: UnsafeMutablePointer<Float>
  ) {
    let count = weight.count
    var (sum, squares) = (0.0, 0.0)
    for i in 0..<count { sum += Double(x[i]) }
    let mean = sum / Double(count)
    for i in 0..<count { squares += (Double(x[i]) - mean) * (Double(x[i]) - mean) }
    let scale = 1 / (squares / Double(count) + Double(epsilon)).squareRoot()
    for i in 0..<count { out[i] = Float((Double(x[i]) - mean) * scale) * weight[i] + bias[i] }
  }

  static func siluMultiply(_ gate: UnsafeMutablePointer<Float>, _ up: UnsafePointer<Float>, count: Int) {
    for i in 0..<count { gate[i] = gate[i] / (1 + expf(-gate[i])) * up[i] }
  }

  static func gelu(_ x: UnsafeMutablePointer<Float>, count: Int) {
    for i in 0..<count { x[i] *= 0.5 * (1 + erff(x[i] * 0.70710678)) }
  }

  static func geluTanh(_ x: UnsafeMutablePointer<Float>, count: Int) {
    for i in 0..<count { x[i] *= 0.5 * (1 + tanhf(0.79788456 * (x[i] + 0.044715 * x[i] * x[i] * x[i]))) }
  }

  static func relu(_ x: UnsafeMutablePointer<Float>, count: Int) {
    for i in 0..<count { x[i] = max(x[i], 0) }
  }

  static func rotateHalves(
    _ x: UnsafeMutablePointer<Float>, cosine: UnsafePointer<Float>, sine: UnsafePointer<Float>, half: Int
  ) {
    for i in 0..<half {
      let (a, b) = (x[i], x[i + half])
      x[i] = a * cosine[i] - b * sine[i]
      x[i + half] = b * cosine[i] + a * sine[i]
    }
  }

  /// Queries of one key/value head: token t's `group` queries stand side by side at `queries + t · tokenStride`.
  struct AttentionTile {
    let queries: UnsafePointer<Float>
    let output: UnsafeMutablePointer<Float>
    let tokenStride: Int
    let keys, values: UnsafePointer<Float>
    let keyStride: Int
    let tokens, group, headLength: Int
    let count, first: Int
    let window: Int?
    let isCausal: Bool
  }

  static func attention(_ tile: AttentionTile) {
    let scale = 1 / Float(tile.headLength).squareRoot()
    var scores = [Float](repeating: 0, count: tile.count)
    for query in 0..<tile.tokens * tile.group {
      let (token, member) = query.quotientAndRemainder(dividingBy: tile.group)
      let place = token * tile.tokenStride + member * tile.headLength
      let position = tile.first + token
      let upper = tile.isCausal ? position + 1 : tile.count
      let lower = tile.isCausal ? tile.window.map { max(0, position + 1 - $0) } ?? 0 : 0
      var top = -Float.infinity
      for key in lower..<upper {
        var sum: Float = 0
        for i in 0..<tile.headLength { sum += tile.queries[place + i] * tile.keys[key * tile.keyStride + i] }
        scores[key] = sum * scale
        top = max(top, scores[key])
      }
      var total: Float = 0
      for key in lower..<upper {
        scores[key] = expf(scores[key] - top)
        total += scores[key]
      }
      for i in 0..<tile.headLength { tile.output[place + i] = 0 }
      for key in lower..<upper {
        let weight = scores[key] / total
        for i in 0..<tile.headLength { tile.output[place + i] += weight * tile.values[key * tile.keyStride + i] }
      }
    }
  }
}

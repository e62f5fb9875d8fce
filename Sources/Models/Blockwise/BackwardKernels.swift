import Glibc
import TensorCore

/// Gradients of what lies between linear layers, in single precision with sums in double.
enum BackwardKernels {
  /// Back through y = x · w / rms(x): with u = x / rms, dx = (w·dy − u · mean(u · w·dy)) / rms.
  ///
  /// - Parameters:
  ///   - x: the norm's inputs, `rows` × the weight's length.
  ///   - gradient: by the outputs; replaced by that by the inputs.
  static func rmsNorm(
    _ x: UnsafePointer<Float>, weight: [Float], epsilon: Float, rows: Int,
    gradient: UnsafeMutablePointer<Float>
  ) {
    let count = weight.count
    nonisolated(unsafe) let (x, gradient) = (x, gradient)
    Parallel.forEach(rows) { row in
      let (x, g) = (x + row * count, gradient + row * count)
      var (square, dot) = (0.0, 0.0)
      for place in 0..<count {
        square += Double(x[place]) * Double(x[place])
        dot += Double(x[place]) * Double(weight[place]) * Double(g[place])
      }
      let inverse = 1 / (square / Double(count) + Double(epsilon)).squareRoot()
      let pull = Float(dot / Double(count) * inverse * inverse)
      for place in 0..<count { g[place] = Float(inverse) * (weight[place] * g[place] - x[place] * pull) }
    }
  }

  /// Back through silu(gate) · up: `gate` and `up` are replaced by the gradients by them.
  static func siluMultiply(
    gate: UnsafeMutablePointer<Float>, up: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    count: Int
  ) {
    nonisolated(unsafe) let (gate, up, gradient) = (gate, up, gradient)
    let piece = 4096
    Parallel.forEach((count + piece - 1) / piece) { index in
      for place in index * piece..<min(count, (index + 1) * piece) {
        let (x, g) = (gate[place], gradient[place])
        let sigmoid = 1 / (1 + expf(-x))
        gate[place] = g * up[place] * sigmoid * (1 + x * (1 - sigmoid))
        up[place] = g * x * sigmoid
      }
    }
  }
}

/// Back through causal attention of one key head and the query heads that it serves.
struct AttentionGradient {
  let length, tokens, group, queryWidth, keyWidth: Int
  let window: Int?

  /// Adds nothing: each head's gradients are written once, keys' and values' as sums over the group.
  func goBack(
    head: Int, queries: UnsafePointer<Float>, keys: UnsafePointer<Float>, values: UnsafePointer<Float>,
    output: UnsafePointer<Float>,
    into result: (
      queries: UnsafeMutablePointer<Float>, keys: UnsafeMutablePointer<Float>,
      values: UnsafeMutablePointer<Float>
    )
  ) {
    let scale = 1 / Float(length).squareRoot()
    let (k, v) = (keys + head * length, values + head * length)
    let (dk, dv) = (result.keys + head * length, result.values + head * length)
    let scores = FloatBuffer(count: tokens * tokens)
    let slopes = FloatBuffer(count: tokens * tokens)
    let scoresT = FloatBuffer(count: tokens * tokens)
    for member in 0..<group {
      let offset = (head * group + member) * length
      let (q, dO, dq) = (queries + offset, output + offset, result.queries + offset)
      LinearAlgebra.product(
        q, queryWidth, k, keyWidth, transposed: true, rows: tokens, inner: length, columns: tokens,
        alpha: scale,
        into: scores.base, tokens)
      softmax(scores.base)
      LinearAlgebra.product(
        dO, queryWidth, v, keyWidth, transposed: true, rows: tokens, inner: length, columns: tokens,
        into: slopes.base, tokens)
      transpose(scores.base, into: scoresT.base)
      LinearAlgebra.product(
        scoresT.base, tokens, dO, queryWidth, rows: tokens, inner: tokens, columns: length,
        beta: member == 0 ? 0 : 1,
        into: dv, keyWidth)
      softmaxBack(scores.base, slopes.base)
      LinearAlgebra.product(
        slopes.base, tokens, k, keyWidth, rows: tokens, inner: tokens, columns: length, alpha: scale,
        into: dq, queryWidth)
      transpose(slopes.base, into: scoresT.base)
      LinearAlgebra.product(
        scoresT.base, tokens, q, queryWidth, rows: tokens, inner: tokens, columns: length, alpha: scale,
        beta: member == 0 ? 0 : 1, into: dk, keyWidth)
    }
  }

  private func softmax(_ scores: UnsafeMutablePointer<Float>) {
    for token in 0..<tokens {
      let row = scores + token * tokens
      let first = window.map { max(0, token + 1 - $0) } ?? 0
      var (peak, sum) = (-Float.infinity, Float(0))
      for key in first...token { peak = max(peak, row[key]) }
      for key in first...token {
        row[key] = expf(row[key] - peak)
        sum += row[key]
      }
      for key in 0..<tokens { row[key] = key < first || key > token ? 0 : row[key] / sum }
    }
  }

  /// dS = P ∘ (dP − Σ P dP), in place of dP.
  private func softmaxBack(_ weights: UnsafePointer<Float>, _ slopes: UnsafeMutablePointer<Float>) {
    for token in 0..<tokens {
      let (p, d) = (weights + token * tokens, slopes + token * tokens)
      var sum: Float = 0
      for key in 0...token { sum += p[key] * d[key] }
      for key in 0..<tokens { d[key] = p[key] * (d[key] - sum) }
    }
  }

  private func transpose(_ source: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>) {
    for row in 0..<tokens {
      for column in 0..<tokens { target[column * tokens + row] = source[row * tokens + column] }
    }
  }
}

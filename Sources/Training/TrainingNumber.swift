import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A number that models are trained in: `Float` with the kernels, `Double` with the plain definitions below, which check the
/// gradients.
package protocol TrainingNumber: BinaryFloatingPoint, Sendable {
  /// eˣ.
  static func exponential(_ x: Self) -> Self
  /// ln x.
  static func logarithm(_ x: Self) -> Self
  /// 1 − erf x.
  static func errorComplement(_ x: Self) -> Self
  /// C += A · B, over the threads.
  static func add(_ product: TrainingProduct<Self>)
  /// y = x · inverse · weight, where inverse = 1 / √(mean(x²) + ε); returns the inverse.
  static func normalize(
    _ x: UnsafePointer<Self>, weight: UnsafePointer<Self>, epsilon: Self, into y: UnsafeMutablePointer<Self>,
    count: Int
  ) -> Self
  /// Back through ``normalize(_:weight:epsilon:into:count:)``: the gradient by y becomes that by x.
  static func normalizeBack(
    _ x: UnsafePointer<Self>, weight: UnsafePointer<Self>, inverse: Self,
    gradient: UnsafeMutablePointer<Self>, count: Int)
  /// sum += a · x · y, element by element.
  static func addScaledProduct(
    _ a: Self, _ x: UnsafePointer<Self>, _ y: UnsafePointer<Self>, to sum: UnsafeMutablePointer<Self>,
    count: Int)
  /// Σ x · y.
  static func dot(_ x: UnsafePointer<Self>, _ y: UnsafePointer<Self>, count: Int) -> Double
  /// x *= a.
  static func scale(_ x: UnsafeMutablePointer<Self>, by a: Self, count: Int)
  /// The place of the largest number.
  static func largest(_ x: UnsafePointer<Self>, count: Int) -> Int
  /// y += a · x.
  static func addScaled(
    _ a: Self, _ x: UnsafePointer<Self>, to y: UnsafeMutablePointer<Self>, count: Int)
  /// gate = silu(gate) · up.
  static func siluMultiply(_ gate: UnsafeMutablePointer<Self>, up: UnsafePointer<Self>, count: Int)
  /// Back through that: both become the gradients by them.
  static func siluBack(
    gate: UnsafeMutablePointer<Self>, up: UnsafeMutablePointer<Self>, gradient: UnsafePointer<Self>,
    count: Int)
  /// Turns the pairs (i, i + half) of one head.
  static func rotate(
    _ x: UnsafeMutablePointer<Self>, cosine: UnsafePointer<Self>, sine: UnsafePointer<Self>, half: Int)
  /// x = softmax(x), in place.
  static func softmax(_ x: UnsafeMutablePointer<Self>, count: Int)
  /// Back through softmax: with p its result, the gradient d by it becomes that by its input.
  static func softmaxBack(_ p: UnsafePointer<Self>, _ d: UnsafeMutablePointer<Self>, count: Int)
  /// Attention of one key head's queries in one document.
  static func attend(_ head: AttentionHead<Self>, into output: UnsafeMutablePointer<Self>)
}

/// C += A · B with any strides.
package struct TrainingProduct<Number: TrainingNumber> {
  /// A matrix: its first element, and how far rows and columns lie apart.
  package typealias Factor = (base: UnsafePointer<Number>, row: Int, column: Int)
  package var a, b: Factor
  package var c: UnsafeMutablePointer<Number>
  package var row: Int
  package var rows, inner, columns: Int
  package var alpha: Number = 1
  /// Whether only the calling thread works, as in the body of a parallel loop.
  package var isAlone = false
  /// Whether factors may be rounded to bfloat16.
  package var rounds = false
}

/// One key and value head with the query heads that share it, in one document.
package struct AttentionHead<Number: TrainingNumber> {
  /// The first query of the first head; tokens lie `queryStride` apart, heads `length`.
  package var queries: UnsafePointer<Number>
  package var queryStride: Int
  package var keys, values: UnsafePointer<Number>
  package var keyStride: Int
  package var group, length, tokens: Int
  package var window: Int?
  /// Whether a query sees only keys at its own place and before.
  package var isCausal = true

  package var scale: Number { 1 / Number(length).squareRoot() }

  /// The first key that a query sees.
  package func firstKey(_ token: Int) -> Int { window.map { max(0, token + 1 - $0) } ?? 0 }
  /// The key behind the last one that it sees.
  package func endKey(_ token: Int) -> Int { isCausal ? token + 1 : tokens }
}

// MARK: The definitions

extension TrainingNumber {
  package static func add(_ product: TrainingProduct<Self>) {
    let p = product
    for i in 0..<p.rows {
      for j in 0..<p.columns {
        var sum: Self = 0
        for k in 0..<p.inner {
          sum += p.a.base[i * p.a.row + k * p.a.column] * p.b.base[k * p.b.row + j * p.b.column]
        }
        p.c[i * p.row + j] += p.alpha * sum
      }
    }
  }

  package static func normalize(
    _ x: UnsafePointer<Self>, weight: UnsafePointer<Self>, epsilon: Self, into y: UnsafeMutablePointer<Self>,
    count: Int
  ) -> Self {
    var square: Self = 0
    for i in 0..<count { square += x[i] * x[i] }
    let inverse = 1 / (square / Self(count) + epsilon).squareRoot()
    for i in 0..<count { y[i] = x[i] * inverse * weight[i] }
    return inverse
  }

  package static func normalizeBack(
    _ x: UnsafePointer<Self>, weight: UnsafePointer<Self>, inverse: Self,
    gradient: UnsafeMutablePointer<Self>, count: Int
  ) {
    var dot: Self = 0
    for i in 0..<count { dot += x[i] * weight[i] * gradient[i] }
    let pull = dot / Self(count) * inverse * inverse
    for i in 0..<count { gradient[i] = inverse * (weight[i] * gradient[i] - x[i] * pull) }
  }

  package static func addScaledProduct(
    _ a: Self, _ x: UnsafePointer<Self>, _ y: UnsafePointer<Self>, to sum: UnsafeMutablePointer<Self>,
    count: Int
  ) { for i in 0..<count { sum[i] += a * x[i] * y[i] } }

  package static func addScaled(
    _ a: Self, _ x: UnsafePointer<Self>, to y: UnsafeMutablePointer<Self>, count: Int
  ) { for i in 0..<count { y[i] += a * x[i] } }

  package static func dot(_ x: UnsafePointer<Self>, _ y: UnsafePointer<Self>, count: Int) -> Double {
    var sum = 0.0
    for i in 0..<count { sum += Double(x[i]) * Double(y[i]) }
    return sum
  }

  package static func scale(_ x: UnsafeMutablePointer<Self>, by a: Self, count: Int) {
    for i in 0..<count { x[i] *= a }
  }

  package static func largest(_ x: UnsafePointer<Self>, count: Int) -> Int {
    var place = 0
    for i in 0..<count where x[i] > x[place] { place = i }
    return place
  }

  package static func siluMultiply(
    _ gate: UnsafeMutablePointer<Self>, up: UnsafePointer<Self>, count: Int
  ) { for i in 0..<count { gate[i] = gate[i] / (1 + exponential(-gate[i])) * up[i] } }

  package static func siluBack(
    gate: UnsafeMutablePointer<Self>, up: UnsafeMutablePointer<Self>, gradient: UnsafePointer<Self>,
    count: Int
  ) {
    for i in 0..<count {
      let (x, u) = (gate[i], up[i])
      let sigmoid = 1 / (1 + exponential(-x))
      gate[i] = gradient[i] * u * sigmoid * (1 + x * (1 - sigmoid))
      up[i] = gradient[i] * x * sigmoid
    }
  }

  package static func rotate(
    _ x: UnsafeMutablePointer<Self>, cosine: UnsafePointer<Self>, sine: UnsafePointer<Self>, half: Int
  ) {
    for i in 0..<half {
      let (a, b) = (x[i], x[i + half])
      x[i] = a * cosine[i] - b * sine[i]
      x[i + half] = b * cosine[i] + a * sine[i]
    }
  }

  package static func softmax(_ x: UnsafeMutablePointer<Self>, count: Int) {
    var (peak, sum) = (-Self.infinity, Self(0))
    for i in 0..<count { peak = max(peak, x[i]) }
    for i in 0..<count {
      x[i] = exponential(x[i] - peak)
      sum += x[i]
    }
    for i in 0..<count { x[i] /= sum }
  }

  package static func softmaxBack(_ p: UnsafePointer<Self>, _ d: UnsafeMutablePointer<Self>, count: Int) {
    var sum: Self = 0
    for i in 0..<count { sum += p[i] * d[i] }
    for i in 0..<count { d[i] = p[i] * (d[i] - sum) }
  }

  package static func attend(_ head: AttentionHead<Self>, into output: UnsafeMutablePointer<Self>) {
    var weights = [Self](repeating: 0, count: head.tokens)
    for member in 0..<head.group {
      for token in 0..<head.tokens {
        let place = token * head.queryStride + member * head.length
        let (query, result) = (head.queries + place, output + place)
        let first = head.firstKey(token)
        for key in first..<head.endKey(token) {
          var dot: Self = 0
          for i in 0..<head.length { dot += query[i] * head.keys[key * head.keyStride + i] }
          weights[key - first] = dot * head.scale
        }
        weights.withUnsafeMutableBufferPointer {
          if let base = $0.baseAddress { softmax(base, count: head.endKey(token) - first) }
        }
        for i in 0..<head.length {
          var sum: Self = 0
          for key in first..<head.endKey(token) {
            sum += weights[key - first] * head.values[key * head.keyStride + i]
          }
          result[i] = sum
        }
      }
    }
  }
}

extension Double: TrainingNumber {
  package static func exponential(_ x: Double) -> Double { exp(x) }
  package static func logarithm(_ x: Double) -> Double { log(x) }
  package static func errorComplement(_ x: Double) -> Double { erfc(x) }
}

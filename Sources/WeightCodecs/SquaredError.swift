/// How far a tensor is from its original.
public struct SquaredError: Equatable, Sendable {
  /// The sum of squared differences.
  public let error: Double
  /// The sum of squares of the original.
  public let signal: Double
  /// The number of weights.
  public let count: Int

  /// Nothing compared.
  public static let zero = SquaredError(error: 0, signal: 0, count: 0)

  /// Sums taken elsewhere.
  public init(error: Double, signal: Double, count: Int) {
    self.error = error
    self.signal = signal
    self.count = count
  }

  /// The mean squared difference; 0 for an empty tensor.
  public var mean: Double { count == 0 ? 0 : error / Double(count) }

  /// The error as a part of the signal; 0 for a tensor of zeros that stayed zeros.
  public var relative: Double { error == 0 ? 0 : error / signal }

  /// Both together.
  public static func + (a: SquaredError, b: SquaredError) -> SquaredError {
    SquaredError(error: a.error + b.error, signal: a.signal + b.signal, count: a.count + b.count)
  }

  /// Compares `values` with `original`, of the same length, in double precision.
  init(of values: UnsafeBufferPointer<Float>, _ original: UnsafeBufferPointer<Float>) {
    precondition(values.count == original.count, "two forms of one tensor have the same length")
    // Four sums each, so that additions do not wait for one another.
    var error = SIMD4<Double>.zero
    var signal = SIMD4<Double>.zero
    let whole = values.count / 4 * 4
    for first in stride(from: 0, to: whole, by: 4) {
      let b = SIMD4(
        Double(original[first]), Double(original[first + 1]), Double(original[first + 2]),
        Double(original[first + 3]))
      let a = SIMD4(
        Double(values[first]), Double(values[first + 1]), Double(values[first + 2]), Double(values[first + 3])
      )
      error += (a - b) * (a - b)
      signal += b * b
    }
    var (totalError, totalSignal) = (error.sum(), signal.sum())
    for index in whole..<values.count {
      let (a, b) = (Double(values[index]), Double(original[index]))
      totalError += (a - b) * (a - b)
      totalSignal += b * b
    }
    self.init(error: totalError, signal: totalSignal, count: values.count)
  }
}

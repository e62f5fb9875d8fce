import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// A quantized matrix while it is trained: codes as numbers between which they are rounded, and factors of its scales.
///
/// Forward passes use rounded codes and rounded scales, exactly what will be stored; gradients go straight through both roundings
/// (Bengio et al., arXiv 1308.3432). A code's number is counted in codes, so one step of the optimizer moves all of them by the
/// like part of a code, whatever their scales are.
protocol CodedTensor: AnyObject, Sendable {
  /// The matrix among the weights.
  var entry: ParameterLayout.Entry { get }
  /// The format that it is stored in.
  var format: TensorFormat { get }
  /// What its inputs are multiplied by before they are rounded: the scales of its columns as of the last weights that were asked for;
  /// nil where columns have none.
  var columnScalesInUse: NumberBuffer<Float>? { get }
  /// The number of factors.
  var factorCount: Int { get }
  /// Whether codes change; else scales alone do.
  var movesCodes: Bool { get }
  /// The codes at the start.
  func writeCodes(to numbers: UnsafeMutablePointer<Float>)
  /// The numbers that weights would have between the codes, as far as they round to the codes at the start.
  func writeNumbers(of weights: UnsafePointer<Float>, to numbers: UnsafeMutablePointer<Float>)
  /// The weights of rounded codes and scales.
  func write(
    codes: UnsafePointer<Float>, factors: UnsafePointer<Float>, to weights: UnsafeMutablePointer<Float>)
  /// Makes the gradient by weights that by codes, and sets that by factors.
  func pull(
    _ gradient: UnsafeMutablePointer<Float>, codes: UnsafePointer<Float>, factors: UnsafePointer<Float>,
    factorGradient: UnsafeMutablePointer<Float>)
  /// The matrix as it is stored.
  ///
  /// - Parameter margin: how much further than half a code a number must have gone from its start, away from zero, for its code to
  ///   change: what makes codes larger makes files larger.
  func stored(codes: UnsafePointer<Float>, factors: UnsafePointer<Float>, margin: Float) throws
    -> (format: TensorFormat, bytes: ByteRegion)
}

enum CodedRounding {
  /// The nearest whole number, ties to even, of a number between −2²² and 2²².
  @inline(__always) static func whole(_ x: Float) -> Float { (x + 12_582_912) - 12_582_912 }

  /// The number nearest to `number` that still rounds to `first`, with a margin for the last bits.
  @inline(__always) static func within(_ number: Float, of first: Float) -> Float {
    guard number.isFinite else { return first }
    return first + min(max(number - first, -0.49), 0.49)
  }

  /// The code of `number`, which began at `first`.
  @inline(__always) static func code(_ number: Float, from first: Float, margin: Float) -> Float {
    let code = whole(number)
    guard margin > 0, abs(code) > abs(first) else { return code }
    let way = abs(number - first)
    let moved = max(0, whole(way - margin))
    return number > first ? first + moved : first - moved
  }
}

extension CodedTensor {
  var columnScalesInUse: NumberBuffer<Float>? { nil }

  /// Calls `body` with runs of rows, over the threads.
  func forEachRows(_ rows: Int, _ columns: Int, _ body: @Sendable (Range<Int>) -> Void) {
    let step = max(1, (1 << 14) / max(1, columns))
    Parallel.forEach((rows + step - 1) / step) { body($0 * step..<min(rows, ($0 + 1) * step)) }
  }
}

import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What one prediction says about the token that really followed, in 64-bit floats.
struct TokenScore {
  /// −ln p(true token) of the model.
  var loss: Double
  /// The same of the baseline.
  var baselineLoss = 0.0
  /// KL(baseline ‖ model) in nats, never below zero.
  var divergence = 0.0
  /// A value that the divergence is not below, as far as it is an estimate; else unused.
  var bound = 0.0
  /// Whether both find the same token most likely.
  var isSameTop = false
  /// Whether the model finds the true token most likely.
  var isTruthTop = false

  /// (p − p of the baseline)² of the true token.
  var squaredDelta: Double {
    let delta = exp(-loss) - exp(-baselineLoss)
    return delta * delta
  }
}

/// One row of logits, with its normaliser in 64-bit floats.
struct LogitRow {
  private let base: UnsafePointer<Float>
  private let count: Int
  private let logSum: Double
  let top: Int

  /// Normalises a row; nil when it is empty or one of its logits is NaN or infinite.
  init?(_ logits: UnsafeBufferPointer<Float>) {
    guard let base = logits.baseAddress, Kernels.allFinite(base, count: logits.count) else { return nil }
    self.base = base
    count = logits.count
    logSum = Kernels.logSumExp(base, count: logits.count)
    top = Kernels.argmax(base, count: logits.count)
  }

  /// −ln p(`token`).
  func loss(of token: Int) -> Double { logSum - Double(base[token]) }

  /// The score of this row alone.
  func score(of token: Int) -> TokenScore {
    TokenScore(loss: loss(of: token), isTruthTop: top == token)
  }

  /// The score of this row against the `baseline`'s.
  func score(of token: Int, baseline: LogitRow) -> TokenScore {
    let divergence = Kernels.logDivergence(
      baseline.base, xLog: baseline.logSum, base, yLog: logSum, count: count)
    return TokenScore(
      loss: loss(of: token), baselineLoss: baseline.loss(of: token), divergence: max(0, divergence),
      isSameTop: top == baseline.top, isTruthTop: top == token)
  }

  /// The probability of all tokens but those of the ascending `places`.
  func tail(without places: [Int]) -> Double {
    ReferenceRow.tail(UnsafeBufferPointer(start: base, count: count), logSum: logSum, without: places)
  }
}

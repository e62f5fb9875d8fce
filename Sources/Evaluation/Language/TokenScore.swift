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
  /// Whether both find the same token most likely.
  var isSameTop = false

  /// (p − p of the baseline)² of the true token.
  var squaredDelta: Double {
    let delta = exp(-loss) - exp(-baselineLoss)
    return delta * delta
  }
}

/// One row of logits, normalised by log-sum-exp.
struct LogitRow {
  let logits: UnsafeBufferPointer<Float>
  let maximum: Double
  let top: Int

  /// Finds the largest logit (of equal ones the first); nil when one of them is NaN or infinite.
  init?(_ logits: UnsafeBufferPointer<Float>) {
    var best = -Float.infinity
    var top = 0
    // 0·x is NaN exactly when x is NaN or infinite: one test for the whole row.
    var poison: Float = 0
    for (index, logit) in logits.enumerated() {
      poison += logit * 0
      if logit > best {
        best = logit
        top = index
      }
    }
    guard poison == 0 else { return nil }
    self.logits = logits
    self.maximum = Double(best)
    self.top = top
  }

  /// ln Σ exp(logit − maximum).
  func logSum() -> Double {
    var sum = 0.0
    for logit in logits { sum += exp(Double(logit) - maximum) }
    return log(sum)
  }

  /// −ln p(`token`).
  func loss(of token: Int, logSum: Double) -> Double { logSum - (Double(logits[token]) - maximum) }

  /// The score of this row alone.
  func score(of token: Int) -> TokenScore { TokenScore(loss: loss(of: token, logSum: logSum())) }

  /// The score of this row against the `baseline`'s.
  ///
  /// With a, b the shifted logits of baseline and model and A, B their log-sums, KL = Σ e^(a−A)·((a−A) − (b−B))
  /// = (Σ e^a·(a − b)) / e^A − A + B: one pass, and exactly zero for equal rows.
  func score(of token: Int, baseline: LogitRow) -> TokenScore {
    var sum = 0.0
    var baselineSum = 0.0
    var weighted = 0.0
    for index in logits.indices {
      let a = Double(baseline.logits[index]) - baseline.maximum
      let b = Double(logits[index]) - maximum
      let weight = exp(a)
      sum += exp(b)
      baselineSum += weight
      weighted += weight * (a - b)
    }
    let logSum = log(sum)
    let baselineLogSum = log(baselineSum)
    return TokenScore(
      loss: loss(of: token, logSum: logSum),
      baselineLoss: baseline.loss(of: token, logSum: baselineLogSum),
      divergence: max(0, weighted / baselineSum - baselineLogSum + logSum),
      isSameTop: top == baseline.top)
  }
}

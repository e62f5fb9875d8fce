#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Student's t distribution.
public enum StudentT {
  /// The value that a t variable of `degrees` degrees of freedom stays below with `probability`, to about 1e-12.
  ///
  /// - Precondition: `degrees` ≥ 1 and 0 < `probability` < 1.
  public static func quantile(_ probability: Double, degrees: Int) -> Double {
    precondition(degrees >= 1 && probability > 0 && probability < 1, "no quantile of this t distribution")
    guard probability != 0.5 else { return 0 }
    guard probability > 0.5 else { return -quantile(1 - probability, degrees: degrees) }
    // The tail beyond t grows monotonically smaller: first bracket the value, then halve.
    var (low, high) = (0.0, 1.0)
    while cumulative(high, degrees: degrees) < probability, high < 1e300 { (low, high) = (high, high * 2) }
    for _ in 0..<200 where high - low > 1e-13 * high {
      let middle = (low + high) / 2
      if cumulative(middle, degrees: degrees) < probability { low = middle } else { high = middle }
    }
    return (low + high) / 2
  }

  /// The probability of values below `t`.
  ///
  /// - Precondition: `degrees` ≥ 1.
  public static func cumulative(_ t: Double, degrees: Int) -> Double {
    let ν = Double(degrees)
    let tail = 0.5 * incompleteBeta(ν / (ν + t * t), a: ν / 2, b: 0.5)
    return t < 0 ? tail : 1 - tail
  }

  /// The regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun 26.5.8),
  /// evaluated by Lentz's method where it converges fast, by symmetry elsewhere.
  private static func incompleteBeta(_ x: Double, a: Double, b: Double) -> Double {
    guard x > 0 else { return 0 }
    guard x < 1 else { return 1 }
    let factor = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2) { return factor * fraction(x, a, b) / a }
    return 1 - factor * fraction(1 - x, b, a) / b
  }

  private static func fraction(_ x: Double, _ a: Double, _ b: Double) -> Double {
    let tiny = 1e-300
    func guarded(_ value: Double) -> Double { abs(value) < tiny ? tiny : value }
    var c = 1.0
    var d = 1 / guarded(1 - (a + b) * x / (a + 1))
    var result = d
    for step in 1...10_000 {
      let m = Double(step)
      for coefficient in [
        m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
        -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
      ] {
        d = 1 / guarded(1 + coefficient * d)
        c = guarded(1 + coefficient / c)
        result *= c * d
      }
      if abs(c * d - 1) < 1e-15 { break }
    }
    return result
  }
}

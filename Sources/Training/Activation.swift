import Models

/// The activation functions of encoders, forwards and backwards, from their definitions.
enum Activation {
  /// x = f(x), in place.
  static func apply<Number: TrainingNumber>(
    _ kind: BertConfiguration.Activation, _ x: UnsafeMutablePointer<Number>, count: Int
  ) {
    switch kind {
    case .gelu: for i in 0..<count { x[i] *= normal(x[i]) }
    case .geluTanh: for i in 0..<count { x[i] *= tanhGate(x[i]).gate }
    case .relu: for i in 0..<count { x[i] = max(x[i], 0) }
    }
  }

  /// gradient *= f′(x).
  static func goBack<Number: TrainingNumber>(
    _ kind: BertConfiguration.Activation, _ x: UnsafePointer<Number>,
    gradient: UnsafeMutablePointer<Number>, count: Int
  ) {
    switch kind {
    case .gelu:
      for i in 0..<count {
        let density = Number.exponential(-x[i] * x[i] / 2) * Number(0.398942280401432677939946)
        gradient[i] *= normal(x[i]) + x[i] * density
      }
    case .geluTanh:
      for i in 0..<count {
        let (gate, slope) = tanhGate(x[i])
        gradient[i] *= gate + x[i] * slope
      }
    case .relu: for i in 0..<count where !(x[i] > 0) { gradient[i] = 0 }
    }
  }

  /// Φ(x), the normal distribution's share below x.
  private static func normal<Number: TrainingNumber>(_ x: Number) -> Number {
    Number.errorComplement(-x * Number(0.707106781186547524400844)) / 2
  }

  /// (1 + tanh z) / 2 and its slope by x, z = √(2/π) (x + 0.044715 x³).
  private static func tanhGate<Number: TrainingNumber>(_ x: Number) -> (gate: Number, slope: Number) {
    let (root, cubic) = (Number(0.797884560802865355879892), Number(0.044715))
    let z = root * (x + cubic * x * x * x)
    let gate = 1 / (1 + Number.exponential(-2 * z))
    return (gate, 2 * gate * (1 - gate) * root * (1 + 3 * cubic * x * x))
  }
}

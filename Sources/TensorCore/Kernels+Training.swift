internal import CKernels

/// What training does besides products, on the calling thread.
extension Kernels {
  /// Back through silu(gate) · up: both are replaced by the gradients by them.
  ///
  /// - Parameter gradient: by the result.
  public static func siluBack(
    gate: UnsafeMutablePointer<Float>, up: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    count: Int
  ) { ck_silu_back(gate, up, gradient, count) }

  /// Back through x · inverse · weight, where inverse = 1 / √(mean(x²) + ε): the gradient by the outputs is replaced by that by
  /// `x`.
  public static func rmsNormBack(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, inverse: Float,
    gradient: UnsafeMutablePointer<Float>, count: Int
  ) { ck_rms_norm_back(x, weight, inverse, gradient, count) }

  /// sum += a · x · y.
  public static func addScaledProduct(
    _ a: Float, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, to sum: UnsafeMutablePointer<Float>,
    count: Int
  ) { ck_add_scaled_product(a, x, y, sum, count) }

  /// Back through softmax: with p its result and d the gradient by it, d becomes p · (d − Σ p · d).
  public static func softmaxBack(
    _ p: UnsafePointer<Float>, _ d: UnsafeMutablePointer<Float>, count: Int
  ) { ck_softmax_back(p, d, count) }

  /// The numbers of one step of AdamW (arXiv 1711.05101), the same for all weights of a kind.
  public struct AdamWStep: Sendable {
    /// The learning rate.
    public var rate: Float
    /// The decoupled weight decay, before it is multiplied by the learning rate.
    public var decay: Float
    /// What is kept of the mean of gradients, and of that of their squares.
    public var betas: (first: Float, second: Float)
    /// What is added to the root of the second moment.
    public var epsilon: Float
    /// The number of this step, from 1 on.
    public var step: Int
    /// What gradients are multiplied by before anything else: a clipping factor.
    public var gradientScale: Float
    /// Whether weights that are zero stay zero.
    public var keepsZeros: Bool

    /// A step of these numbers.
    public init(
      rate: Float, decay: Float, betas: (first: Float, second: Float), epsilon: Float, step: Int,
      gradientScale: Float, keepsZeros: Bool
    ) {
      self.rate = rate
      self.decay = decay
      self.betas = betas
      self.epsilon = epsilon
      self.step = step
      self.gradientScale = gradientScale
      self.keepsZeros = keepsZeros
    }

    fileprivate var call: ck_adamw_step {
      func correction(_ beta: Float) -> Float {
        var (power, base, left) = (1.0, Double(beta), step)
        while left > 0 {
          if left % 2 == 1 { power *= base }
          base *= base
          left /= 2
        }
        return Float(1 / (1 - power))
      }
      return ck_adamw_step(
        rate: rate, decay: rate * decay, first: betas.first, second: betas.second,
        first_scale: correction(betas.first), second_scale: correction(betas.second), epsilon: epsilon,
        gradient_scale: gradientScale, keeps_zeros: keepsZeros ? 1 : 0)
    }
  }

  /// One step of AdamW on `count` weights.
  ///
  /// - Parameters:
  ///   - first: the moments of gradients; likewise `second` of their squares. Both are updated.
  public static func adamW(
    _ step: AdamWStep, weights: UnsafeMutablePointer<Float>, gradients: UnsafePointer<Float>,
    first: UnsafeMutablePointer<Float>, second: UnsafeMutablePointer<Float>, count: Int
  ) {
    var call = step.call
    ck_adamw(&call, weights, gradients, first, second, count)
  }
}

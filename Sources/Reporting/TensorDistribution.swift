/// How the weights of a tensor and their codes are distributed: of the tensors of a stage with the largest errors.
public struct TensorDistribution: Sendable, Equatable {
  /// The tensor's name.
  public var name: String
  /// Its place in the stage's tensors.
  public var tensor: Int
  /// The weights that were counted: those of all rows, or of rows at even distances of a large tensor.
  public var weights: Int
  /// Classes of weights are of one width from −bound to bound; what lies beyond is in the first and the last one.
  public var bound: Double
  /// The baseline's weights in each class.
  public var original: [Int]
  /// The stage's weights in each class.
  public var stored: [Int]
  /// How often codes are used; nil for formats without.
  public var codes: Codes?

  /// Counts of codes.
  public struct Codes: Sendable, Equatable {
    /// The code that the first class begins with.
    public var lowest: Int
    /// The codes of a class.
    public var step: Int
    /// The weights in each class.
    public var counts: [Int]

    /// Counts of these parts.
    public init(lowest: Int, step: Int, counts: [Int]) {
      self.lowest = lowest
      self.step = step
      self.counts = counts
    }
  }

  /// A distribution of these parts.
  public init(
    name: String, tensor: Int, weights: Int, bound: Double, original: [Int], stored: [Int], codes: Codes?
  ) {
    self.name = name
    self.tensor = tensor
    self.weights = weights
    self.bound = bound
    self.original = original
    self.stored = stored
    self.codes = codes
  }
}

/// What a calibration text was and how well it stands for what the model will see: for reports.
public struct CalibrationSummary: Sendable, Equatable {
  /// The source's name: a file, a folder, the shipped text, or "self".
  public var name: String
  /// SHA-256 of the file; of names and hashes of the files for a folder; of the tokens for text that the model wrote.
  public var sha256: String
  /// The tokens of the whole text.
  public var textTokens: Int
  /// The tokens of a full sequence.
  public var context: Int
  /// The sequences that observations were made of.
  public var sequences: Int
  /// Their tokens.
  public var tokens: Int
  /// The sequences that nothing was observed on.
  public var heldOutSequences: Int
  /// Their tokens.
  public var heldOutTokens: Int
  /// The size of the model's vocabulary.
  public var vocabulary: Int
  /// How many different tokens the observed sequences have.
  public var distinctTokens: Int
  /// The share of the evaluation text's tokens that are among them; nil without an evaluation text.
  public var evaluationCoverage: Double?
  /// How much of the evaluation text is in the calibration text; nil without one.
  public var overlap: Overlap?

  /// Runs of words that two texts have in common.
  public struct Overlap: Sendable, Equatable {
    /// The words of a run.
    public var words: Int
    /// The runs of the evaluation text.
    public var runs: Int
    /// How many of them are in the calibration text.
    public var shared: Int
    /// The share.
    public var share: Double { runs > 0 ? Double(shared) / Double(runs) : 0 }

    /// An overlap of these counts.
    public init(words: Int, runs: Int, shared: Int) {
      self.words = words
      self.runs = runs
      self.shared = shared
    }
  }

  /// A summary of these parts.
  public init(
    name: String, sha256: String, textTokens: Int, context: Int, sequences: Int, tokens: Int,
    heldOutSequences: Int, heldOutTokens: Int, vocabulary: Int, distinctTokens: Int,
    evaluationCoverage: Double? = nil, overlap: Overlap? = nil
  ) {
    self.name = name
    self.sha256 = sha256
    self.textTokens = textTokens
    self.context = context
    self.sequences = sequences
    self.tokens = tokens
    self.heldOutSequences = heldOutSequences
    self.heldOutTokens = heldOutTokens
    self.vocabulary = vocabulary
    self.distinctTokens = distinctTokens
    self.evaluationCoverage = evaluationCoverage
    self.overlap = overlap
  }
}

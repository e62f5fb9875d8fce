/// What predicted labels are worth next to the true ones, by the usual definitions: a part whose denominator is zero is zero.
public struct ClassificationScores: Sendable, Equatable {
  /// How many rows of each true class (outer) were taken for each class (inner).
  public var confusion: [[Int]]

  /// The scores of predictions.
  ///
  /// - Precondition: as many of either, all from 0 to below `classes`.
  public init(truth: [Int], predicted: [Int], classes: Int) {
    precondition(truth.count == predicted.count, "a prediction for each row")
    confusion = [[Int]](repeating: [Int](repeating: 0, count: classes), count: classes)
    for (row, column) in zip(truth, predicted) { confusion[row][column] += 1 }
  }

  /// The share of rows whose label was found.
  public var accuracy: Double {
    ratio(
      confusion.indices.reduce(0) { $0 + confusion[$1][$1] }, confusion.reduce(0) { $0 + $1.reduce(0, +) })
  }

  /// Of the rows taken for a class, the share that is of it.
  public func precision(_ place: Int) -> Double {
    ratio(confusion[place][place], confusion.reduce(0) { $0 + $1[place] })
  }

  /// Of the rows of a class, the share that was taken for it.
  public func recall(_ place: Int) -> Double { ratio(confusion[place][place], confusion[place].reduce(0, +)) }

  /// The harmonic mean of precision and recall of a class.
  public func f1(_ place: Int) -> Double {
    ratio(
      2 * confusion[place][place], confusion[place].reduce(0, +) + confusion.reduce(0) { $0 + $1[place] })
  }

  /// The mean of the classes' F1.
  public var macroF1: Double {
    confusion.isEmpty ? 0 : confusion.indices.reduce(0) { $0 + f1($1) } / Double(confusion.count)
  }

  /// F1 of two classes' second one; nil for more.
  public var binaryF1: Double? { confusion.count == 2 ? f1(1) : nil }

  /// Two classes' F1, else the mean of all classes'.
  public var mainF1: Double { binaryF1 ?? macroF1 }

  private func ratio(_ part: Int, _ whole: Int) -> Double { whole > 0 ? Double(part) / Double(whole) : 0 }
}

extension ClassificationScores {
  /// ``mainF1`` with its error by bootstrap over rows.
  public static func f1(
    truth: [Int], predicted: [Int], classes: Int, bootstrap: Bootstrap = Bootstrap()
  ) -> Estimate {
    @Sendable func score(_ rows: [Int]?) -> Double {
      let (truth, predicted) = (pick(truth, rows), pick(predicted, rows))
      return ClassificationScores(truth: truth, predicted: predicted, classes: classes).mainF1
    }
    return Estimate(
      score(nil), standardError: bootstrap.standardError(blockCount: truth.count) { score($0) })
  }

  /// The change of ``mainF1`` from `baseline` to `predicted`, both taken on the same resampled rows.
  public static func f1Change(
    truth: [Int], baseline: [Int], predicted: [Int], classes: Int, bootstrap: Bootstrap = Bootstrap()
  ) -> Estimate {
    @Sendable func score(_ rows: [Int]?) -> Double {
      let truth = pick(truth, rows)
      func one(_ labels: [Int]) -> Double {
        ClassificationScores(truth: truth, predicted: pick(labels, rows), classes: classes).mainF1
      }
      return one(predicted) - one(baseline)
    }
    return Estimate(
      score(nil), standardError: bootstrap.standardError(blockCount: truth.count) { score($0) })
  }

  private static func pick(_ values: [Int], _ rows: [Int]?) -> [Int] {
    rows.map { $0.map { values[$0] } } ?? values
  }
}

/// The labels that a model found, by one way of asking it.
public struct FoundLabels: Sendable, Equatable {
  /// How they were found: "likeliest label".
  public var name: String
  /// A label's place for each row.
  public var labels: [Int]

  /// Labels found in a way.
  public init(name: String, labels: [Int]) {
    self.name = name
    self.labels = labels
  }
}

/// What a student's prediction is compared with, and how: the loss of one token, and its gradient by the student's logits.
///
/// Temperatures divide both models' logits; losses are multiplied by T², so that gradients keep their size (Hinton et al., arXiv
/// 1503.02531).
package struct DistillationLoss: Sendable, Equatable {
  /// The kinds.
  package enum Kind: String, Sendable, CaseIterable {
    /// KL(teacher ‖ student).
    case forwardKL = "forward-kl"
    /// KL(student ‖ teacher).
    case reverseKL = "reverse-kl"
    /// β KL(teacher ‖ m) + (1 − β) KL(student ‖ m), m = β teacher + (1 − β) student: the generalised Jensen–Shannon divergence of
    /// GKD (arXiv 2306.13649).
    case jensenShannon = "jsd"
    /// −ln p of the text's next token: no teacher at all.
    case crossEntropy = "cross-entropy"
  }

  package var kind = Kind.forwardKL
  package var temperature = 1.0
  /// The weight of the teacher in Jensen–Shannon's mean.
  package var beta = 0.5
  /// The weight of the text's next token, 0 … 1; the divergence has the rest.
  package var textWeight = 0.0

  /// Forward KL at temperature 1.
  package init() {}

  /// Whether the teacher is asked.
  package var needsTeacher: Bool { kind != .crossEntropy && textWeight < 1 }

  /// The weight of the text's next token.
  private var weight: Double { kind == .crossEntropy ? 1 : textWeight }

  /// The tokens that count: with a teacher all of them, else those that have a successor.
  package func validCount(_ targets: [Int]) -> Int {
    needsTeacher ? targets.count : targets.count { $0 >= 0 }
  }

  /// Memory of one thread, two rows of logits.
  package typealias Scratch<Number> = (p: UnsafeMutablePointer<Number>, q: UnsafeMutablePointer<Number>)

  /// What a student's prediction of a token is compared with.
  package enum Goal<Number> {
    /// The text alone.
    case text
    /// The teacher's logits; may be overwritten.
    case logits(UnsafeMutablePointer<Number>)
    /// What was kept of them.
    case likeliest(LikeliestRow)
  }

  /// The loss of one token.
  ///
  /// - Parameters:
  ///   - teacher: what it says, where it is asked.
  ///   - student: its logits; replaced by `scale` times the gradient by them.
  ///   - target: the text's next token, −1 where there is none.
  package func row<Number: TrainingNumber>(
    teacher: Goal<Number>, student: UnsafeMutablePointer<Number>, count: Int, target: Int,
    scale: Number, scratch: Scratch<Number>
  ) -> Double {
    var (loss, isLabelled) = (0.0, false)
    if weight > 0, target >= 0 {
      scratch.q.update(from: student, count: count)
      let log = Self.softmax(scratch.q, count: count)
      loss += weight * (log - Double(student[target]))
      scratch.q[target] -= 1
      isLabelled = true
    }
    var asksTeacher = needsTeacher
    if case .text = teacher { asksTeacher = false }
    guard asksTeacher else {
      guard isLabelled else {
        student.update(repeating: 0, count: count)
        return 0
      }
      student.update(from: scratch.q, count: count)
      Number.scale(student, by: scale * Number(weight), count: count)
      return loss
    }
    var kept: [Number] = []
    if isLabelled { kept = Array(UnsafeBufferPointer(start: scratch.q, count: count)) }
    let share = 1 - weight
    switch teacher {
    case .text: break
    case .logits(let logits):
      loss += share * divergence(logits, student, count, scale: scale * Number(share), scratch)
    case .likeliest(let row):
      if temperature != 1 { Number.scale(student, by: Number(1 / temperature), count: count) }
      let value = row.divergence(student, scratch.q, vocabulary: count)
      loss += share * temperature * temperature * value
      Number.scale(student, by: scale * Number(share * temperature), count: count)
    }
    if isLabelled {
      kept.withUnsafeBufferPointer {
        if let base = $0.baseAddress {
          Number.addScaled(scale * Number(weight), base, to: student, count: count)
        }
      }
    }
    return loss
  }

  /// T² times the divergence; `student` becomes `scale` times its gradient.
  private func divergence<Number: TrainingNumber>(
    _ a: UnsafeMutablePointer<Number>, _ b: UnsafeMutablePointer<Number>, _ count: Int, scale: Number,
    _ scratch: Scratch<Number>
  ) -> Double {
    if temperature != 1 {
      Number.scale(a, by: Number(1 / temperature), count: count)
      Number.scale(b, by: Number(1 / temperature), count: count)
    }
    let (p, q) = scratch
    p.update(from: a, count: count)
    q.update(from: b, count: count)
    let (logA, logB) = (Self.softmax(p, count: count), Self.softmax(q, count: count))
    let factor = scale * Number(temperature)
    let value: Double
    switch kind {
    case .forwardKL, .crossEntropy:
      value = Number.dot(p, a, count: count) - Number.dot(p, b, count: count) - logA + logB
      b.update(from: q, count: count)
      Number.addScaled(-1, p, to: b, count: count)
      Number.scale(b, by: factor, count: count)
    case .reverseKL:
      let shift = Number(logA - logB)
      for i in 0..<count { a[i] = b[i] - a[i] + shift }
      value = Number.dot(q, a, count: count)
      for i in 0..<count { b[i] = factor * q[i] * (a[i] - Number(value)) }
    case .jensenShannon:
      let (beta, rest) = (Number(self.beta), Number(1 - self.beta))
      var (teacher, student) = (0.0, 0.0)
      for i in 0..<count {
        let mean = Number.logarithm(max(beta * p[i] + rest * q[i], Number.leastNormalMagnitude))
        if p[i] > 0 { teacher += Double(p[i] * (Number.logarithm(p[i]) - mean)) }
        a[i] = q[i] > 0 ? Number.logarithm(q[i]) - mean : 0
        student += Double(q[i] * a[i])
      }
      value = self.beta * teacher + (1 - self.beta) * student
      for i in 0..<count { b[i] = factor * rest * q[i] * (a[i] - Number(student)) }
    }
    return temperature * temperature * value
  }

  /// Softmax in place; returns the logarithm of Σ exp.
  static func softmax<Number: TrainingNumber>(
    _ x: UnsafeMutablePointer<Number>, count: Int
  ) -> Double {
    let place = Number.largest(x, count: count)
    let peak = Double(x[place])
    Number.softmax(x, count: count)
    return peak - Double(Number.logarithm(x[place]))
  }
}

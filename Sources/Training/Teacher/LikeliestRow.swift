import TensorCore

/// What is kept of a teacher's prediction of one token: its likeliest successors; all others are one bucket.
package struct LikeliestRow: @unchecked Sendable {
  /// The tokens, the likeliest first.
  package let tokens: UnsafePointer<UInt32>
  /// Their ln p at the temperature that they were kept for.
  package let logs: UnsafePointer<Float>
  /// How many there are.
  package let count: Int

  /// A row of `count` tokens.
  package init(tokens: UnsafePointer<UInt32>, logs: UnsafePointer<Float>, count: Int) {
    (self.tokens, self.logs, self.count) = (tokens, logs, count)
  }

  /// Writes the row of some logits.
  ///
  /// - Parameter logits: divided by the temperature already.
  package static func write(
    _ logits: UnsafePointer<Float>, count: Int, tokens: UnsafeMutablePointer<UInt32>,
    logs: UnsafeMutablePointer<Float>, kept: Int
  ) {
    let log = Float(Kernels.logSumExp(logits, count: count))
    // The likeliest so far, in order; of equal ones the first token comes first.
    var held = 0
    for token in 0..<count {
      let value = logits[token]
      if held == kept, !(value > logs[held - 1]) { continue }
      var place = held < kept ? held : kept - 1
      while place > 0, logs[place - 1] < value {
        logs[place] = logs[place - 1]
        tokens[place] = tokens[place - 1]
        place -= 1
      }
      logs[place] = value
      tokens[place] = UInt32(token)
      held = min(kept, held + 1)
    }
    for place in 0..<kept { logs[place] -= log }
  }

  /// KL(teacher ‖ student) over the likeliest tokens and the bucket of all others; `student` becomes its gradient by the student's
  /// logits, both before the temperature's factors.
  ///
  /// - Parameters:
  ///   - student: logits divided by the temperature.
  ///   - q: memory for as many numbers.
  /// - Returns: the divergence, a lower bound of that over all tokens.
  package func divergence<Number: TrainingNumber>(
    _ student: UnsafeMutablePointer<Number>, _ q: UnsafeMutablePointer<Number>, vocabulary: Int
  ) -> Double {
    q.update(from: student, count: vocabulary)
    let log = DistillationLoss.softmax(q, count: vocabulary)
    var (loss, mass, own) = (0.0, 0.0, 0.0)
    for place in 0..<count where Int(tokens[place]) < vocabulary {
      let (token, p) = (Int(tokens[place]), exponential(logs[place]))
      loss += p * (Double(logs[place]) - (Double(student[token]) - log))
      mass += p
      own += Double(q[token])
    }
    let (rest, ownRest) = (max(0, 1 - mass), max(1 - own, 1e-12))
    if rest > 1e-9 { loss += rest * (Double(Number.logarithm(Number(rest / ownRest)))) }
    student.update(from: q, count: vocabulary)
    Number.scale(student, by: Number(mass + rest - rest / ownRest), count: vocabulary)
    for place in 0..<count where Int(tokens[place]) < vocabulary {
      let token = Int(tokens[place])
      student[token] = q[token] * Number(mass + rest) - Number(exponential(logs[place]))
    }
    return loss
  }

  private func exponential(_ x: Float) -> Double { Double(Double.exponential(Double(x))) }
}

//! Code that all services of the crate share.

/// Defines the accessors of a service with a field `inner`.
macro_rules! inner_service_accessors {
    () => {
        /// Returns a reference to the inner service.
        pub fn get_ref(&self) -> &S {
            &self.inner
        }

        /// Returns a mutable reference to the inner service.
        pub fn get_mut(&mut self) -> &mut S {
            &mut self.inner
        }

        /// Returns the inner service, consuming this one.
        pub fn into_inner(self) -> S {
            self.inner
        }
    };
}
